package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// errShort says that a body ends before its fields do.
var errShort = errors.New("it ends too early")

// append appends the body of t's binary form, everything before the checksum (docs/protocol.md, "Token").
func (t Token) append(dst []byte) []byte {
	dst = append(dst, version)
	dst = append(dst, byte(len(t.Name)))
	dst = append(dst, t.Name...)
	dst = append(dst, t.NetworkID[:]...)
	dst = append(dst, t.PSK[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(t.MTU))
	ip := t.IPv6.Addr().As16()
	dst = append(dst, byte(t.IPv6.Bits()))
	dst = append(dst, ip[:8]...)
	dst = t.appendIPv4(dst)
	dst = append(dst, byte(len(t.Endpoints)))
	for _, e := range t.Endpoints {
		dst = append(dst, byte(len(e)))
		dst = append(dst, e...)
	}
	return dst
}

// appendIPv4 appends the pools and who hands out their blocks.
func (t Token) appendIPv4(dst []byte) []byte {
	dst = append(dst, byte(len(t.Pools)))
	for _, p := range t.Pools {
		ip := p.Addr().As4()
		dst = append(dst, byte(p.Bits()))
		dst = append(dst, ip[:]...)
	}
	if len(t.Pools) == 0 {
		return dst
	}
	text := t.IPAM.URL()
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
	return append(dst, text...)
}

// fields reads a body field by field.
type fields struct {
	rest []byte
	err  error // the first one
}

// next returns the next n bytes, or n zeros after the end.
func (f *fields) next(n int) []byte {
	if len(f.rest) < n {
		f.rest, f.err = nil, errShort
		return make([]byte, n)
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

// text returns a string with its length (1) before it.
func (f *fields) text() string { return string(f.next(int(f.next(1)[0]))) }

// parseBody undoes append. What it returns has passed no Check.
func parseBody(b []byte) (Token, error) {
	f := &fields{rest: b}
	var t Token
	// Version (1),
	f.next(1)
	// Name Length (1), Name,
	t.Name = f.text()
	// Network ID (16),
	t.NetworkID = [16]byte(f.next(16))
	// PSK (32),
	t.PSK = [32]byte(f.next(32))
	// MTU (2),
	t.MTU = int(binary.BigEndian.Uint16(f.next(2)))
	// IPv6 Prefix Length (1), IPv6 Prefix (8),
	bits := int(f.next(1)[0])
	var ip [16]byte
	copy(ip[:8], f.next(8))
	t.IPv6 = netip.PrefixFrom(netip.AddrFrom16(ip), bits)
	ipam := parseIPv4(f, &t)
	// Endpoint Count (1), Endpoints: Length (1), Text
	count := int(f.next(1)[0])
	for range min(count, MaxEndpoints+1) { // Check refuses more than MaxEndpoints
		t.Endpoints = append(t.Endpoints, f.text())
	}
	switch {
	case f.err != nil:
		return Token{}, f.err
	case count <= MaxEndpoints && len(f.rest) > 0:
		return Token{}, fmt.Errorf("%d bytes follow its last field", len(f.rest))
	}
	var err error
	if t.IPAM, err = ParseIPAM(ipam); err != nil || len(t.Pools) > 0 && t.IPAM.URL() != ipam {
		return Token{}, fmt.Errorf("ipam %q is not of the form that tokens have", clip(ipam))
	}
	return t, nil
}

// parseIPv4 reads the pools, and returns the text that says who hands out their blocks; "" without a pool.
func parseIPv4(f *fields, t *Token) (ipam string) {
	// Pool Count (1), Pools: Prefix Length (1), Prefix (4)
	count := int(f.next(1)[0])
	for range count {
		bits := int(f.next(1)[0])
		t.Pools = append(t.Pools, netip.PrefixFrom(netip.AddrFrom4([4]byte(f.next(4))), bits))
	}
	if count == 0 {
		return ""
	}
	// IPAM Length (2), IPAM
	return string(f.next(int(binary.BigEndian.Uint16(f.next(2)))))
}

// isShort says whether b, a body and its checksum of which some bytes are wrong, has lost its end.
func isShort(b []byte) bool {
	if len(b) < checksumLen {
		return true
	}
	_, err := parseBody(b[:len(b)-checksumLen])
	return errors.Is(err, errShort)
}
