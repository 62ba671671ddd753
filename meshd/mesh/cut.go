package mesh

import (
	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

// payload is what is sent of a packet: the frame alone, if its offload header says nothing; else all of it.
type payload struct {
	bytes     []byte
	repeated  []byte // the same, and the headers a second time; nil if the frame is not to be cut into segments
	offloaded bool
}

// newPayload returns the payload of packet p, which offload.Check has passed. It writes the headers to the room behind p.
func newPayload(p []byte) payload {
	if offload.Plain(p) {
		return payload{bytes: p[offload.HeaderLen:]}
	}
	if !offload.Segmented(p) {
		return payload{bytes: p, offloaded: true}
	}
	headers := int(offload.Parse(p).HeadersLen)
	repeated := append(p, p[offload.HeaderLen:offload.HeaderLen+headers]...)
	return payload{bytes: p, repeated: append(repeated, p[:offload.HeaderLen]...), offloaded: true}
}

// long reports whether it matters what the path to the receiver carries: that every path carries is not enough for one piece.
func (p payload) long() bool { return len(p.bytes) > wire.MaxPayload }

// cut returns the bytes to send to a peer whose path carries maxPayload bytes in a datagram, into how many pieces they are cut, and
// how long each but the last is. If they take several pieces and are to be cut into segments, the headers are repeated, so that no
// single lost piece costs all segments; the receiver expects that then, and only then. The pieces are as equal as they can be, so
// that the datagrams of a flow of full frames all have one size but for every last one, and may be sent in one call (UDP_SEGMENT
// wants that).
func (p payload) cut(maxPayload int) (b []byte, pieces, size int) {
	b = p.bytes
	if len(b) > maxPayload && p.repeated != nil {
		b = p.repeated
	}
	pieces = (len(b) + maxPayload - 1) / maxPayload
	return b, pieces, (len(b) + pieces - 1) / pieces
}
