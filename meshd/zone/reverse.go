package zone

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	suffix4 = "in-addr.arpa." // RFC 1035, section 3.5: a label for each byte
	suffix6 = "ip6.arpa."     // RFC 3596, section 2.5: a label for each four bits
)

// addReverse adds the zones of the names of a prefix's addresses. Zones are cut between labels, so there are several where the prefix ends
// within one.
func (z *Zone) addReverse(p netip.Prefix) {
	p = p.Masked()
	bits := labelBits(p.Addr())
	length := (p.Bits() + bits - 1) / bits * bits
	for a := p.Addr(); p.Contains(a); {
		part := netip.PrefixFrom(a, length)
		z.reverse[reverseName(part)] = part
		if a = last(part).Next(); !a.IsValid() {
			return
		}
	}
}

// labelBits returns how many bits of an address one label says.
func labelBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 4
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// reverseName returns the name of a prefix that ends between labels.
func reverseName(p netip.Prefix) string {
	full, err := dns.ReverseAddr(p.Addr().String())
	if err != nil {
		panic(err) // an address in its own text form
	}
	skip := (p.Addr().BitLen() - p.Bits()) / labelBits(p.Addr())
	return strings.Join(dns.SplitDomainName(full)[skip:], ".") + "."
}

// parseReverse returns the prefix that a name in a reverse zone is of.
func parseReverse(name string) (p netip.Prefix, ok bool) {
	rest, is4 := strings.CutSuffix(name, "."+suffix4)
	base, size, digits := 10, 8, netip.IPv4Unspecified().AsSlice()
	if !is4 {
		var is6 bool
		if rest, is6 = strings.CutSuffix(name, "."+suffix6); !is6 {
			return netip.Prefix{}, false
		}
		base, size, digits = 16, 4, netip.IPv6Unspecified().AsSlice()
	}
	labels := dns.SplitDomainName(rest)
	if len(labels)*size > 8*len(digits) {
		return netip.Prefix{}, false
	}
	slices.Reverse(labels)
	for i, l := range labels {
		n, err := strconv.ParseUint(l, base, size)
		if err != nil || strconv.FormatUint(n, base) != l {
			return netip.Prefix{}, false
		}
		digits[i*size/8] |= byte(n) << (8 - size - i*size%8)
	}
	a, _ := netip.AddrFromSlice(digits)
	return netip.PrefixFrom(a, len(labels)*size), true
}

// within reports whether an address of p has a name.
func (z *Zone) within(p netip.Prefix) bool {
	i, _ := slices.BinarySearchFunc(z.addrs, p.Addr(), netip.Addr.Compare)
	return i < len(z.addrs) && p.Contains(z.addrs[i])
}
