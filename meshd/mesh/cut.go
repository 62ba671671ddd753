package mesh

import "meshnet/meshd/wire"

// pieceSize returns into how many pieces a frame of length bytes is cut, and how long each but the last is. The pieces
// are as equal as they can be, so that the datagrams of a flow of full frames all have one size but for every last one,
// and may be sent in one call (UDP_SEGMENT wants that).
func pieceSize(length int) (pieces, size int) {
	pieces = (length + wire.MaxPayload - 1) / wire.MaxPayload
	return pieces, (length + pieces - 1) / pieces
}
