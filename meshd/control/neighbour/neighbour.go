package neighbour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"meshnet/meshd/session"
)

// Bounds of what one neighbour may be, in bytes or in number.
const (
	MaxContainer = 256
	MaxIfName    = 15 // IFNAMSIZ less the terminating zero (include/uapi/linux/if.h)
	MaxAddrs     = 8

	// maxEncoded is the longest encoding of a neighbour.
	maxEncoded = 2 + MaxContainer + 1 + MaxIfName + 6 + 1 + MaxAddrs*(1+16)
)

// Errors of the parsers.
var (
	ErrShort   = errors.New("neighbour: message too short")
	ErrInvalid = errors.New("neighbour: invalid field")
)

// Key names an attachment of one node.
type Key struct{ Container, IfName string }

// Neighbour is one attachment as all nodes see it. Node is its owner, and not part of its encoding.
type Neighbour struct {
	Container, IfName string
	MAC               [6]byte
	Addrs             []netip.Addr
	Node              session.NodeID
}

// Key returns the name of the attachment on its node.
func (n Neighbour) Key() Key { return Key{n.Container, n.IfName} }

// Equal reports whether n and m are the same in all fields.
func (n Neighbour) Equal(m Neighbour) bool {
	return n.Key() == m.Key() && n.MAC == m.MAC && n.Node == m.Node && slices.Equal(n.Addrs, m.Addrs)
}

// Check returns an error that wraps ErrInvalid if n cannot be told to others.
func (n Neighbour) Check() error {
	if err := n.Key().check(); err != nil {
		return err
	}
	if len(n.Addrs) > MaxAddrs {
		return fmt.Errorf("%w: %d addresses, at most %d are allowed", ErrInvalid, len(n.Addrs), MaxAddrs)
	}
	for _, a := range n.Addrs {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			return fmt.Errorf("%w: address %v", ErrInvalid, a)
		}
	}
	return nil
}

// check allows what can be printed and has no space: the names reach terminals and scripts.
func (k Key) check() error {
	for _, f := range []struct {
		what, text string
		max        int
	}{{"container", k.Container, MaxContainer}, {"interface", k.IfName, MaxIfName}} {
		if f.text == "" || len(f.text) > f.max {
			return fmt.Errorf("%w: %s name of %d bytes, 1 to %d are allowed", ErrInvalid, f.what, len(f.text), f.max)
		}
		for i := range len(f.text) {
			if c := f.text[i]; c <= ' ' || c > '~' {
				return fmt.Errorf("%w: %s name %.40q", ErrInvalid, f.what, f.text)
			}
		}
	}
	return nil
}

// append appends the key: container length (2), container, interface length (1), interface.
func (k Key) append(dst []byte) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(k.Container))), k.Container...)
	return append(append(dst, byte(len(k.IfName))), k.IfName...)
}

// append appends the encoding of n, which must pass Check: key, MAC (6), number of addresses (1), and of each address
// its length (1: 4 or 16) and its bytes.
func (n Neighbour) append(dst []byte) []byte {
	dst = append(n.Key().append(dst), n.MAC[:]...)
	dst = append(dst, byte(len(n.Addrs)))
	for _, a := range n.Addrs {
		b := a.AsSlice()
		dst = append(append(dst, byte(len(b))), b...)
	}
	return dst
}

// reader takes fields off the front of a message. After the first error all fields read as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = ErrShort
	}
	if r.err != nil {
		return nil
	}
	f := r.b[:n:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) uint8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) node() (id session.NodeID) {
	copy(id[:], r.bytes(len(id)))
	return id
}

func (r *reader) key() Key {
	k := Key{Container: string(r.bytes(int(r.uint16()))), IfName: string(r.bytes(int(r.uint8())))}
	if r.err == nil {
		r.err = k.check()
	}
	return k
}

// neighbour reads what append appends; owner becomes its Node.
func (r *reader) neighbour(owner session.NodeID) Neighbour {
	// Container and interface.
	k := r.key()
	n := Neighbour{Container: k.Container, IfName: k.IfName, Node: owner}
	// MAC (6).
	copy(n.MAC[:], r.bytes(len(n.MAC)))
	// Addresses.
	count := int(r.uint8())
	if count > MaxAddrs {
		r.fail("%d addresses", count)
		return n
	}
	for range count {
		a, ok := netip.AddrFromSlice(r.bytes(int(r.uint8())))
		if r.err == nil && !ok {
			r.fail("address length")
		}
		n.Addrs = append(n.Addrs, a)
	}
	if r.err == nil {
		r.err = n.Check()
	}
	return n
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
}

// end returns the error, which is also that something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}
