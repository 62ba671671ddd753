package gateway

import (
	"fmt"

	"github.com/google/nftables"
)

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
