package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Obstacles returns what on this host keeps the containers' packets from being forwarded, a sentence each, with what to do. meshd does
// not change the rules of others. Where they name the gateway's interfaces, somebody has done something already.
func Obstacles(c Config) ([]string, error) {
	nft := &nftables.Conn{}
	chains, err := nft.ListChains()
	if err != nil {
		return nil, fmt.Errorf("gateway: listing the chains of nftables: %w", err)
	}
	docker := slices.ContainsFunc(chains, func(ch *nftables.Chain) bool { return ch.Name == "DOCKER-USER" })
	var found []string
	for _, ch := range chains {
		if !forwards(ch) || !refuses(ch, rulesOf(nft, ch)) || namedIn(nft, chains, ch.Table, c.Device, c.Bridge) {
			continue
		}
		found = append(found, fmt.Sprintf("chain %s of table %s (nftables, family %s) drops what it does not know, so containers may not reach the "+
			"internet, nor each other if net.bridge.bridge-nf-call-iptables is 1: %s", ch.Name, ch.Table.Name, familyName(ch.Table.Family),
			remedy(c, ch, docker)))
	}
	return found, nil
}

// forwards reports whether a chain decides what is forwarded.
func forwards(ch *nftables.Chain) bool {
	return ch.Type == nftables.ChainTypeFilter && ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward &&
		ch.Table.Family != nftables.TableFamilyBridge
}

// rulesOf returns the rules of a chain as far as they can be read: those of others may be of any kind.
func rulesOf(nft *nftables.Conn, ch *nftables.Chain) []*nftables.Rule {
	rules, err := nft.GetRules(ch.Table, ch)
	if err != nil {
		return nil
	}
	return rules
}

// refuses reports whether a chain drops what none of its rules knows: by its policy, as Docker's and ufw's, or by a rule for everything, as
// firewalld's.
func refuses(ch *nftables.Chain, rules []*nftables.Rule) bool {
	return ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop || slices.ContainsFunc(rules, refusesAll)
}

// refusesAll reports whether a rule drops or rejects whatever comes to it.
func refusesAll(r *nftables.Rule) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Match: // of iptables
			if e.Name != "comment" {
				return false
			}
		case *expr.Reject:
			return true
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Target: // of iptables
			return e.Name == "REJECT" || e.Name == "DROP"
		default:
			return false
		}
	}
	return false
}

// namedIn reports whether rules of a table compare with the names of all these interfaces.
func namedIn(nft *nftables.Conn, chains []*nftables.Chain, table *nftables.Table, names ...string) bool {
	named := make(map[string]bool)
	for _, ch := range chains {
		if ch.Table.Name != table.Name || ch.Table.Family != table.Family {
			continue
		}
		for _, r := range rulesOf(nft, ch) {
			for _, e := range r.Exprs {
				if cmp, ok := e.(*expr.Cmp); ok {
					named[strings.TrimRight(string(cmp.Data), "\x00")] = true
				}
			}
		}
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !named[name] })
}

// remedy says which rules let the containers through a chain.
func remedy(c Config, ch *nftables.Chain, docker bool) string {
	command, chain := "iptables", ch.Name
	switch {
	case ch.Table.Name == "firewalld": // whose rules are gone with its next reload
		return fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s; firewall-cmd --permanent --zone=trusted --add-interface=%s; "+
			"firewall-cmd --reload", c.Device, c.Bridge)
	case ch.Table.Family == nftables.TableFamilyINet:
		return fmt.Sprintf("nft insert rule inet %s %s iifname %q accept; nft insert rule inet %s %s oifname %q accept",
			ch.Table.Name, chain, c.Device, ch.Table.Name, chain, c.Bridge)
	case ch.Table.Family == nftables.TableFamilyIPv6:
		command = "ip6tables"
	case docker:
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
