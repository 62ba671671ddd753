package neighbour

import (
	"encoding/binary"
	"time"

	"meshnet/meshd/session"
)

// MaxMessage bounds a gossiped message, in bytes: one always fits beside membership's own messages in a datagram, and
// an update with one op of the largest kind always fits in it.
const MaxMessage = 512

// Kinds of gossiped messages, and of ops.
const (
	kindUpdate = 1
	kindLeft   = 2

	OpUpsert   OpKind = 1
	OpWithdraw OpKind = 2
)

const (
	idLen           = len(session.NodeID{})
	updateHeaderLen = 1 + idLen + 8 + 8 + 1
	maxOps          = 255
)

// OpKind says what an op does.
type OpKind uint8

// Op is one change of a table. Of a withdrawn Neighbour only the key and the node are set.
type Op struct {
	Version   uint64 // the table's version after it
	Kind      OpKind
	Neighbour Neighbour
}

// Update is some ops of one table, or none to say only how far the table is.
type Update struct {
	Owner session.NodeID
	Epoch uint64
	Head  uint64 // the newest version when this was sent; no op is above it
	Ops   []Op   // at most 255
}

// Left says that a node has left the network with the instance Epoch. Nothing of that instance counts any more.
type Left struct {
	Owner session.NodeID
	Epoch uint64
}

// Append appends the message to dst: kind (1), owner (32), epoch (8), head (8), number of ops (1), the ops, each
// version (8), kind (1), and a neighbour, or for a withdrawal its key.
func (u Update) Append(dst []byte) []byte {
	dst = append(append(dst, kindUpdate), u.Owner[:]...)
	dst = binary.BigEndian.AppendUint64(dst, u.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, u.Head)
	dst = append(dst, byte(len(u.Ops)))
	for _, op := range u.Ops {
		dst = op.append(dst)
	}
	return dst
}

func (op Op) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, op.Version)
	dst = append(dst, byte(op.Kind))
	if op.Kind == OpWithdraw {
		return op.Neighbour.Key().append(dst)
	}
	return op.Neighbour.append(dst)
}

// Append appends the message to dst: kind (1), owner (32), epoch (8).
func (l Left) Append(dst []byte) []byte {
	dst = append(append(dst, kindLeft), l.Owner[:]...)
	return binary.BigEndian.AppendUint64(dst, l.Epoch)
}

// ParseMessage parses a gossiped message, which is an Update or a Left. It keeps nothing of b.
func ParseMessage(b []byte) (any, error) {
	r := &reader{b: b}
	switch kind := r.uint8(); {
	case r.err != nil:
		return nil, r.err
	case kind == kindUpdate:
		u := r.update()
		return u, r.end()
	case kind == kindLeft:
		l := Left{Owner: r.node(), Epoch: r.uint64()}
		return l, r.end()
	default:
		r.fail("message kind %d", kind)
		return nil, r.err
	}
}

// update reads an update after its kind.
func (r *reader) update() Update {
	u := Update{Owner: r.node(), Epoch: r.uint64(), Head: r.uint64()}
	for range r.uint8() {
		op := Op{Version: r.uint64(), Kind: OpKind(r.uint8())}
		switch op.Kind {
		case OpUpsert:
			op.Neighbour = r.neighbour(u.Owner)
		case OpWithdraw:
			k := r.key()
			op.Neighbour = Neighbour{Container: k.Container, IfName: k.IfName, Node: u.Owner}
		default:
			r.fail("op kind %d", op.Kind)
		}
		if r.err == nil && (op.Version == 0 || op.Version > u.Head) {
			r.fail("op %d of a table of version %d", op.Version, u.Head)
		}
		if r.err != nil {
			return u
		}
		u.Ops = append(u.Ops, op)
	}
	return u
}

// Split divides u into updates whose messages have at most MaxMessage bytes.
func (u Update) Split() []Update {
	var parts []Update
	part := Update{Owner: u.Owner, Epoch: u.Epoch, Head: u.Head}
	size := updateHeaderLen
	for _, op := range u.Ops {
		n := len(op.append(nil))
		if len(part.Ops) > 0 && (size+n > MaxMessage || len(part.Ops) == maxOps) {
			parts = append(parts, part)
			part.Ops, size = nil, updateHeaderLen
		}
		part.Ops, size = append(part.Ops, op), size+n
	}
	return append(parts, part)
}

// Digest says how far a copy of a table is, or that its owner has left.
type Digest struct {
	Owner   session.NodeID
	Epoch   uint64
	Version uint64        // the copy holds every op up to this one
	Age     time.Duration // since the owner (or the news of its leaving) was last heard of; in whole seconds
	Left    bool
}

const (
	digestsVersion   = 1
	digestsHeaderLen = 1 + idLen + 4
	digestLen        = idLen + 8 + 8 + 4 + 1
	flagLeft         = 1
)

// AppendDigests appends what sender has, for push/pull: version (1), sender (32), count (4), and of each digest owner
// (32), epoch (8), version (8), age in seconds (4), flags (1).
func AppendDigests(dst []byte, sender session.NodeID, digests []Digest) []byte {
	dst = append(append(dst, digestsVersion), sender[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(digests)))
	for _, d := range digests {
		dst = append(dst, d.Owner[:]...)
		dst = binary.BigEndian.AppendUint64(dst, d.Epoch)
		dst = binary.BigEndian.AppendUint64(dst, d.Version)
		dst = binary.BigEndian.AppendUint32(dst, seconds(d.Age))
		var flags byte
		if d.Left {
			flags |= flagLeft
		}
		dst = append(dst, flags)
	}
	return dst
}

// seconds rounds up, lest an age that goes from node to node become younger.
func seconds(age time.Duration) uint32 {
	return uint32((max(age, 0) + time.Second - 1) / time.Second)
}

// ParseDigests parses what AppendDigests appends; unknown flags are ignored.
func ParseDigests(b []byte) (sender session.NodeID, digests []Digest, err error) {
	r := &reader{b: b}
	if v := r.uint8(); v != digestsVersion {
		r.fail("digests of version %d", v)
	}
	sender = r.node()
	count := int(r.uint32())
	if r.err == nil && len(r.b) != count*digestLen {
		r.fail("%d digests in %d bytes", count, len(r.b))
	}
	if r.err != nil {
		return sender, nil, r.err
	}
	digests = make([]Digest, count)
	for i := range digests {
		digests[i] = Digest{Owner: r.node(), Epoch: r.uint64(), Version: r.uint64(),
			Age: time.Duration(r.uint32()) * time.Second, Left: r.uint8()&flagLeft != 0}
	}
	return sender, digests, nil
}
