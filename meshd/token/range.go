package token

import (
	"fmt"
	"net/netip"
	"strings"
)

// Range is the IPv4 addresses from First to Last, both included. Its text is that of a prefix, of the only address, or
// "FIRST-LAST", whichever is the first to fit.
type Range struct{ First, Last netip.Addr }

// RangeOf returns the addresses of an IPv4 prefix.
func RangeOf(p netip.Prefix) Range {
	return Range{First: p.Masked().Addr(), Last: lastAddr(p.Masked())}
}

// ParseRange reads an address, a prefix or "FIRST-LAST".
func ParseRange(s string) (Range, error) {
	if first, last, found := strings.Cut(s, "-"); found {
		a, err := netip.ParseAddr(strings.TrimSpace(first))
		b, berr := netip.ParseAddr(strings.TrimSpace(last))
		if err != nil || berr != nil || !a.Is4() || !b.Is4() || b.Less(a) {
			return Range{}, fmt.Errorf("%q is not FIRST-LAST of IPv4 addresses", clip(s))
		}
		return Range{a, b}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return Range{a, a}, nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is4():
		return Range{}, fmt.Errorf("%q is neither an IPv4 address nor a prefix nor FIRST-LAST", clip(s))
	case p != p.Masked():
		return Range{}, fmt.Errorf("%v has host bits; did you mean %v?", p, p.Masked())
	}
	return RangeOf(p), nil
}

// IsValid says whether r is addresses at all.
func (r Range) IsValid() bool { return r.First.Is4() && r.Last.Is4() && !r.Last.Less(r.First) }

func (r Range) String() string {
	switch prefixes := r.Prefixes(); {
	case !r.IsValid():
		return ""
	case r.First == r.Last:
		return r.First.String()
	case len(prefixes) == 1:
		return prefixes[0].String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// MarshalText implements encoding.TextMarshaler.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Range) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*r = Range{}
		return nil
	}
	*r, err = ParseRange(string(text))
	return err
}

// Prefixes returns the fewest prefixes that together are r, in order.
func (r Range) Prefixes() []netip.Prefix {
	if !r.IsValid() {
		return nil
	}
	var prefixes []netip.Prefix
	for a := r.First; a.IsValid() && !r.Last.Less(a); {
		p := netip.PrefixFrom(a, 32)
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(a, p.Bits()-1)
			if wider != wider.Masked() || r.Last.Less(lastAddr(wider)) {
				break
			}
			p = wider
		}
		prefixes = append(prefixes, p)
		a = lastAddr(p).Next()
	}
	return prefixes
}
