package gateway

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ensureTable makes the table if there is none: what comes from the containers and leaves by another interface than theirs gets an address
// of the host. Where bridged frames pass the IP hooks (bridge-nf-call-iptables), what is for the gateway would be tracked as a connection
// on its way through the bridge, before anything is known of a translation, and then not be translated: so it is not tracked there.
func ensureTable(c Config) error {
	nft := &nftables.Conn{}
	if t, err := nft.ListTableOfFamily(c.Table, nftables.TableFamilyINet); err == nil && t != nil {
		return nil
	}
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: c.Table})
	chain := nft.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityNATSource,
	})
	for _, p := range c.Links {
		var rule []expr.Any
		rule = append(rule, from(p)...)
		rule = append(rule, notOut(c.Bridge)...)
		rule = append(rule, notOut(c.Device)...)
		rule = append(rule, notOut("lo")...) // the host speaks to its own addresses, by which it has to be known
		nft.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(rule, &expr.Counter{}, &expr.Masq{})})
	}
	raw := nft.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting,
		Priority: nftables.ChainPriorityRaw,
	})
	toGateway := append(in(c.Bridge), to(c.MAC)...)
	nft.AddRule(&nftables.Rule{Table: table, Chain: raw, Exprs: append(toGateway, &expr.Notrack{})})
	return nftError(nft.Flush())
}

// removeTable removes the table; that there is none is no error.
func removeTable(name string) error {
	nft := &nftables.Conn{}
	nft.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: name})
	if err := nft.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return nftError(err)
	}
	return nil
}

func nftError(err error) error {
	if err != nil {
		return fmt.Errorf("nftables: %w (the kernel needs nf_tables with NAT in the family inet: Linux 5.2)", err)
	}
	return nil
}

// from matches packets with a source in p.
func from(p netip.Prefix) []expr.Any {
	family, offset, n := byte(unix.NFPROTO_IPV4), uint32(12), p.Addr().BitLen()/8 // RFC 791: the source is at byte 12
	if p.Addr().Is6() {
		family, offset = unix.NFPROTO_IPV6, 8 // RFC 8200
	}
	mask := ipNet(p).Mask
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(n)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(n), Mask: mask, Xor: make([]byte, n)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// in matches packets that came by an interface.
func in(name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded(name)},
	}
}

// to matches packets in Ethernet frames to mac.
func to(mac [6]byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: mac[:]},
	}
}

// padded returns the name of an interface as the kernel compares it.
func padded(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// notOut matches packets that do not leave by an interface.
func notOut(name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: padded(name)},
	}
}

// Obstacles returns what on this host keeps the containers' packets from being forwarded, a sentence each, with what to do. meshd does
// not change the rules of others.
func Obstacles(c Config) ([]string, error) {
	nft := &nftables.Conn{}
	chains, err := nft.ListChains()
	if err != nil {
		return nil, fmt.Errorf("gateway: listing the chains of nftables: %w", err)
	}
	var found []string
	docker := false
	for _, ch := range chains {
		docker = docker || ch.Name == "DOCKER-USER"
	}
	for _, ch := range chains {
		if ch.Type != nftables.ChainTypeFilter || ch.Hooknum == nil || *ch.Hooknum != *nftables.ChainHookForward ||
			ch.Policy == nil || *ch.Policy != nftables.ChainPolicyDrop || ch.Table.Family == nftables.TableFamilyBridge {
			continue
		}
		found = append(found, fmt.Sprintf("chain %s of table %s (nftables, family %s) drops what it does not know, so containers may not reach the "+
			"internet, nor each other if net.bridge.bridge-nf-call-iptables is 1: %s", ch.Name, ch.Table.Name, familyName(ch.Table.Family),
			remedy(c, ch, docker)))
	}
	return found, nil
}

// remedy says which rules let the containers through a chain.
func remedy(c Config, ch *nftables.Chain, docker bool) string {
	command, chain := "iptables", ch.Name
	switch ch.Table.Family {
	case nftables.TableFamilyIPv6:
		command = "ip6tables"
	case nftables.TableFamilyINet:
		return fmt.Sprintf("nft insert rule inet %s %s iifname { %q, %q } accept; nft insert rule inet %s %s oifname %q accept",
			ch.Table.Name, chain, c.Device, c.Bridge, ch.Table.Name, chain, c.Bridge)
	}
	if docker && ch.Table.Family == nftables.TableFamilyIPv4 {
		chain = "DOCKER-USER" // Docker puts its own rules in front of others in FORWARD
	}
	return fmt.Sprintf("%s -I %s -i %s -j ACCEPT; %s -I %s -o %s -j ACCEPT", command, chain, c.Device, command, chain, c.Bridge)
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "inet"
}
