package mesh

import (
	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

// pieceSize returns into how many pieces a payload of length bytes is cut, and how long each but the last is. The pieces
// are as equal as they can be, so that the datagrams of a flow of full frames all have one size but for every last one,
// and may be sent in one call (UDP_SEGMENT wants that).
func pieceSize(length int) (pieces, size int) {
	pieces = (length + wire.MaxPayload - 1) / wire.MaxPayload
	return pieces, (length + pieces - 1) / pieces
}

// payload returns what is sent of packet p, which offload.Check has passed: the frame alone, if its offload header says nothing; else
// all of it. If that takes several pieces and is to be cut into segments, the headers are sent a second time at its end, so that no
// single lost piece costs all segments: they are written to the room behind p. maxPayload is that of a datagram.
func payload(p []byte, maxPayload int) (b []byte, offloaded bool) {
	if offload.Plain(p) {
		return p[offload.HeaderLen:], false
	}
	if !offload.Segmented(p) || len(p) <= maxPayload {
		return p, true
	}
	headers := int(offload.Parse(p).HeadersLen)
	p = append(p, p[offload.HeaderLen:offload.HeaderLen+headers]...)
	return append(p, p[:offload.HeaderLen]...), true
}
