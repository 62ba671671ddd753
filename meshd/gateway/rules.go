package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// chain is a chain of the table, and what is in it.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook // nil: other chains jump to it
	priority *nftables.ChainPriority
	rules    []rule
}

// rule says what happens to packets, and why, which nft shows as its comment.
type rule struct {
	why   string
	exprs []expr.Any
}

// chainSources is where packets from containers go on if their source can be a container's.
const chainSources = "sources"

// chains returns what is in the table of a gateway.
func chains(c Config) []chain {
	return []chain{
		{chainSources, nftables.ChainTypeFilter, nil, nil, sources(c)},
		{"prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, prerouting(c)},
		{"input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, input(c)},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, forward(c)},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, postrouting(c)},
	}
}

func sources(c Config) []rule {
	var rules []rule
	for _, p := range c.Links {
		rules = append(rules, rule{"a container's address", join(from(p), verdict(expr.VerdictReturn))})
	}
	return append(rules, rule{"no container's address: it would leave untranslated", drop()})
}

// Where bridged frames pass the IP hooks (bridge-nf-call-iptables), what is for the gateway would be tracked as a connection on its way
// through the bridge, before anything is known of a translation, and then not be translated: so it is not tracked there.
func prerouting(c Config) []rule {
	return []rule{{"tracked when it is routed", join(in(c.Bridge), to(c.MAC), expressions{&expr.Notrack{}})}}
}

// What containers send to the host itself has their addresses too, but for neighbour discovery. DHCP reads what is for DHCP.
func input(c Config) []rule {
	rules := []rule{{"meshd answers", join(in(c.Device), udp(portDHCP), verdict(expr.VerdictDrop))}}
	for _, p := range []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::/128")} {
		rules = append(rules, rule{"neighbour discovery", join(in(c.Device), from(p), verdict(expr.VerdictAccept))})
	}
	return append(rules, rule{"", join(in(c.Device), jump(chainSources))})
}

// Out goes what came to the gateway, from this host's containers, and in what answers it or what the host's own rules publish (DNAT).
// A network is not another's way out, nor a host that of containers of other hosts, nor one's way in.
func forward(c Config) []rule {
	const published = 1 << 5 // IPS_DST_NAT, include/uapi/linux/netfilter/nf_conntrack_common.h
	rules := []rule{
		{"within the network, bridged or routed", join(in(c.Bridge), out(c.Bridge), verdict(expr.VerdictAccept))},
		{"", join(in(c.Device), jump(chainSources))},
		{"", join(in(c.Bridge), jump(chainSources))},
		{"answers", join(tracked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))},
		{"published by the host's rules", join(tracked(expr.CtKeySTATUS, published), verdict(expr.VerdictAccept))},
	}
	for _, name := range c.OtherBridges {
		rules = append(rules, rule{"another network of this host", join(in(c.Device), out(name), drop())})
	}
	for _, p := range c.OtherLinks {
		rules = append(rules, rule{"another network of this host", join(in(c.Device), toward(p), drop())})
	}
	return append(rules,
		rule{"from containers of this host", join(in(c.Device), verdict(expr.VerdictAccept))},
		rule{"from containers of other hosts, which have theirs", join(in(c.Bridge), drop())},
		rule{"nobody outside asked for", join(out(c.Bridge), drop())},
		rule{"nobody is behind it", join(out(c.Device), drop())})
}

// What comes from the containers and leaves by another interface than theirs gets an address of the host. What the host says to itself does
// not: it has to be known by its own address.
func postrouting(c Config) []rule {
	var rules []rule
	for _, p := range c.Links {
		rules = append(rules, rule{"", join(from(p), notOut(c.Bridge), notOut(c.Device), notOut("lo"), expressions{&expr.Counter{}, &expr.Masq{}})})
	}
	return rules
}

// generation tells chains from others: those of another Config, or that another meshd makes.
func generation(all []chain) (string, error) {
	h := sha256.New()
	for _, ch := range all {
		fmt.Fprintf(h, "%q %q\n", ch.name, ch.kind)
		if ch.hook != nil {
			fmt.Fprintf(h, "%d %d\n", *ch.hook, *ch.priority)
		}
		for _, r := range ch.rules {
			fmt.Fprintf(h, "%q\n", r.why)
			for _, e := range r.exprs {
				b, err := expr.Marshal(byte(nftables.TableFamilyINet), e)
				if err != nil {
					return "", fmt.Errorf("a rule of chain %s: %w", ch.name, err)
				}
				fmt.Fprintf(h, "%x\n", b)
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// comment returns the user data of a rule by which it is told whose it is.
func comment(r rule, generation string) []byte {
	text := generation
	if r.why != "" {
		text = r.why + " (" + generation + ")"
	}
	return userdata.AppendString(nil, userdata.TypeComment, text)
}

type expressions = []expr.Any

func join(parts ...expressions) (all expressions) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func verdict(kind expr.VerdictKind) expressions { return expressions{&expr.Verdict{Kind: kind}} }

func jump(to string) expressions {
	return expressions{&expr.Verdict{Kind: expr.VerdictJump, Chain: to}}
}

// drop counts and drops.
func drop() expressions { return expressions{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}} }

// tracked matches packets of which a connection's state or status has one of some bits.
func tracked(key expr.CtKey, bits uint32) expressions {
	return expressions{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// from matches packets with a source in p. RFC 791: it is at byte 12; RFC 8200: at byte 8.
func from(p netip.Prefix) expressions { return address(p, 12, 8) }

// toward matches packets with a destination in p. RFC 791: it is at byte 16; RFC 8200: at byte 24.
func toward(p netip.Prefix) expressions { return address(p, 16, 24) }

// address matches packets that have an address in p, at one of two bytes of their header.
func address(p netip.Prefix, at4, at6 uint32) expressions {
	family, offset, n := byte(unix.NFPROTO_IPV4), at4, p.Addr().BitLen()/8
	if p.Addr().Is6() {
		family, offset = unix.NFPROTO_IPV6, at6
	}
	return expressions{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(n)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(n), Mask: ipNet(p).Mask, Xor: make([]byte, n)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// udp matches datagrams to a port.
func udp(port uint16) expressions {
	return expressions{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, // RFC 768
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// in matches packets that came by an interface.
func in(name string) expressions { return by(expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }

// out matches packets that leave by an interface.
func out(name string) expressions { return by(expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }

// notOut matches packets that do not leave by an interface.
func notOut(name string) expressions { return by(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

// by compares the name of an interface, which the kernel pads.
func by(key expr.MetaKey, op expr.CmpOp, name string) expressions {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return expressions{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded}}
}

// to matches packets in Ethernet frames to mac.
func to(mac [6]byte) expressions {
	return expressions{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: mac[:]},
	}
}
