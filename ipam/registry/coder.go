package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// coder walks over the fields of a command, result or record in a fixed order, and either appends them to buf or takes
// them from it. One layout serves both directions, so that parsing undoes appending. Parsing accepts only what
// appending gives.
//
//	uint      LEB128 as in encoding/binary, in as few bytes as possible
//	bool      a uint, 0 or 1
//	time      a uint, nanoseconds since 1970; 0 is the zero time
//	duration  a uint, seconds
//	text      its length in bytes as a uint, the bytes
//	address   1 byte, 0 for none or 4; then that many bytes
//	prefix    an address; unless that is none, its length in bits, 1 byte
//	list      the number of its elements as a uint, the elements
type coder struct {
	buf   []byte
	parse bool
	err   error // the first; nothing is changed from then on
}

var (
	errShort    = errors.New("ends within a field")
	errTrailing = errors.New("bytes behind the last field")
	errForm     = errors.New("field is not in its shortest form")
	errRange    = errors.New("field is out of range")
)

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// end is called behind the last field.
func (c *coder) end() error {
	if c.parse && len(c.buf) != 0 {
		c.fail(errTrailing)
	}
	return c.err
}

// bytes does b as it is.
func (c *coder) bytes(b []byte) {
	switch {
	case c.err != nil:
	case !c.parse:
		c.buf = append(c.buf, b...)
	case len(c.buf) < len(b):
		c.fail(errShort)
	default:
		c.buf = c.buf[copy(b, c.buf):]
	}
}

func (c *coder) byte(b *byte) {
	one := [1]byte{*b}
	c.bytes(one[:])
	if c.parse {
		*b = one[0]
	}
}

func (c *coder) uint(v *uint64) {
	if c.err != nil {
		return
	}
	if !c.parse {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	u, n := binary.Uvarint(c.buf)
	switch {
	case n == 0:
		c.fail(errShort)
	case n < 0:
		c.fail(errRange)
	case n > 1 && c.buf[n-1] == 0:
		c.fail(errForm)
	default:
		*v, c.buf = u, c.buf[n:]
	}
}

// int does a number from 0 to limit.
func (c *coder) int(v *int, limit int) {
	u := uint64(max(*v, 0))
	if !c.parse && (*v < 0 || *v > limit) {
		c.fail(errRange)
	}
	c.uint(&u)
	switch {
	case !c.parse:
	case u > uint64(limit):
		c.fail(errRange)
	default:
		*v = int(u)
	}
}

func (c *coder) bool(v *bool) {
	var n int
	if *v {
		n = 1
	}
	c.int(&n, 1)
	if c.parse {
		*v = n == 1
	}
}

func (c *coder) time(t *time.Time) {
	var u uint64
	if !t.IsZero() {
		if u = uint64(t.UnixNano()); int64(u) <= 0 {
			c.fail(errRange)
		}
	}
	c.uint(&u)
	switch {
	case c.err != nil || !c.parse:
	case int64(u) < 0:
		c.fail(errRange)
	case u == 0:
		*t = time.Time{}
	default:
		*t = time.Unix(0, int64(u)).UTC()
	}
}

// duration does whole seconds, up to a hundred years.
func (c *coder) duration(d *time.Duration) {
	n := int(*d / time.Second)
	c.int(&n, 100*366*24*3600)
	if c.parse {
		*d = time.Duration(n) * time.Second
	}
}

// text does a string of up to limit bytes.
func (c *coder) text(s *string, limit int) {
	n := len(*s)
	c.int(&n, limit)
	if c.err != nil {
		return
	}
	if !c.parse {
		c.buf = append(c.buf, *s...)
		return
	}
	if len(c.buf) < n {
		c.fail(errShort)
		return
	}
	*s, c.buf = string(c.buf[:n]), c.buf[n:]
}

func (c *coder) addr(a *netip.Addr) {
	var size byte
	if a.Is4() {
		size = 4
	} else if a.IsValid() && !c.parse {
		c.fail(fmt.Errorf("%v: %w: not an IPv4 address", a, errRange))
	}
	c.byte(&size)
	if c.err != nil {
		return
	}
	var b [4]byte
	switch {
	case size == 0:
	case size != 4:
		c.fail(errRange)
	case c.parse:
		c.bytes(b[:])
		*a = netip.AddrFrom4(b)
	default:
		b = a.As4()
		c.bytes(b[:])
	}
}

func (c *coder) prefix(p *netip.Prefix) {
	addr, bits := p.Addr(), byte(p.Bits())
	if c.parse {
		addr = netip.Addr{}
	}
	c.addr(&addr)
	if !addr.IsValid() {
		return
	}
	c.byte(&bits)
	switch {
	case c.err != nil:
	case bits > 32:
		c.fail(errRange)
	case c.parse:
		*p = netip.PrefixFrom(addr, int(bits))
	}
}

// list does up to limit elements, each with one.
func list[T any](c *coder, s *[]T, limit int, one func(*T)) {
	n := len(*s)
	c.int(&n, limit)
	if c.parse {
		*s = nil
	}
	for i := 0; i < n && c.err == nil; i++ {
		if c.parse {
			var zero T
			*s = append(*s, zero)
		}
		one(&(*s)[i])
	}
}
