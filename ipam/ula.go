package ipam

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
)

// ulaLabel separates this use of SHA-256 from the others in this package.
const ulaLabel = "meshnet/1 ula"

// Address blocks of the IANA IPv6 special-purpose registry that ParsePrefix tells apart.
var (
	globalUnicast = netip.MustParsePrefix("2000::/3")  // RFC 4291 §2.4
	ulaLocal      = netip.MustParsePrefix("fd00::/8")  // RFC 4193 §3.1, L = 1
	ulaUndefined  = netip.MustParsePrefix("fc00::/8")  // RFC 4193 §3.1, L = 0: "may be defined in the future"
	protocolUse   = netip.MustParsePrefix("2001::/23") // RFC 2928: Teredo, ORCHID and other protocol assignments
)

// ULA returns the /48 of a network that was not given a prefix (RFC 4193 §3.1): fd, then a Global ID of 40 bits from SHA-256
// of a label and the network ID. §3.2.2 of the RFC only suggests its algorithm; what §3.2.1 asks for is that the Global ID be
// pseudo-random, which the network ID (128 random bits, or a hash of a passphrase) gives, and every host computes it alone.
func ULA(networkID [16]byte) netip.Prefix {
	sum := sha256.Sum256(appendFields(nil, []byte(ulaLabel), networkID[:]))
	addr := [16]byte{0: 0xfd}
	copy(addr[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(addr), 48)
}

// ParsePrefix parses the prefix that a user gives a network instead of its ULA: unicast IPv6 (fd00::/8 or 2000::/3), 48 to
// 64 bits long, no bits set below its length. The error says which of these s is not, and names the prefix that was likely
// meant. Documentation prefixes (2001:db8::/32, 3fff::/20) pass: laboratories use them.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("prefix %q is not of the form fd12:3456:789a::/48", s)
	}
	if err := CheckPrefix(p); err != nil {
		return netip.Prefix{}, err
	}
	return p, nil
}

// CheckPrefix says whether p may be a network's prefix, as ParsePrefix does.
func CheckPrefix(p netip.Prefix) error {
	addr := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("the network's IPv6 prefix is missing")
	case !addr.Is6() || addr.Is4In6():
		return fmt.Errorf("prefix %v is not IPv6", p)
	case p.Bits() < 48 || p.Bits() > 64:
		return fmt.Errorf("prefix %v is %d bits long, want 48 to 64", p, p.Bits())
	case p != p.Masked():
		return fmt.Errorf("prefix %v has bits set below its length; %v is the prefix", p, p.Masked())
	case ulaUndefined.Contains(addr):
		return fmt.Errorf("prefix %v is in fc00::/8, which RFC 4193 leaves undefined; local prefixes are in fd00::/8", p)
	case protocolUse.Contains(addr):
		return fmt.Errorf("prefix %v is in 2001::/23, which is kept for protocols such as Teredo", p)
	case !ulaLocal.Contains(addr) && !globalUnicast.Contains(addr):
		return fmt.Errorf("prefix %v is not unicast: want one in fd00::/8 (local) or 2000::/3 (global)", p)
	}
	return nil
}

// Subnet returns the /64 that the overlay uses: the first one of prefix, which is 48 to 64 bits long. The overlay is one
// link, so all hosts share it.
func Subnet(prefix netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(prefix.Addr(), 64).Masked()
}

// Gateway returns the address that every host carries on its bridge as the containers' router: identifier 1 of the subnet.
func Gateway(prefix netip.Prefix) netip.Addr {
	return join(Subnet(prefix), gatewayIID)
}
