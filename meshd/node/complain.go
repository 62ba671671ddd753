package node

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
)

// warnInterval bounds how often what containers do is told to the operator.
const warnInterval = 10 * time.Second

// warn tells the operator what a container does that it should not.
func (a *attendant) warn(now time.Time, e answer.Event) {
	who := "a container or machine with MAC " + net.HardwareAddr(e.MAC[:]).String()
	if l, ok := a.lookup(func(l ipam.Lease) bool { return answer.MAC(l.MAC) == e.MAC }); ok {
		who = "container " + l.Attachment.String() + " (MAC " + l.MAC.String() + ")"
	}
	switch e.Kind {
	case answer.Claimed:
		a.say(now, e.Kind, who+" says that it has "+e.Addr.String()+", which is "+a.holder(e.Addr)+"; what it says is not passed on")
	case answer.RogueDHCP:
		a.say(now, e.Kind, who+" plays a DHCP server: it may mislead containers of this host; nothing of it leaves the host")
	case answer.RogueRA:
		a.say(now, e.Kind, who+" plays a router (IPv6): it may mislead containers of this host; nothing of it leaves the host")
	case answer.Declined:
		if _, held := a.held[e.MAC]; held && e.Addr.Is4() {
			a.say(now, e.Kind, who+" says that somebody else uses the address "+e.Addr.String()+", which it was offered: it gets another; find "+
				"out who, or reserve the address (meshctl ipam reserve)")
			return
		}
		a.say(now, e.Kind, who+" says that somebody else uses its address "+e.Addr.String()+": find out who, or reserve the address "+
			"(meshctl ipam reserve), detach the container and attach it again")
	}
}

// holder says whose an address is.
func (a *attendant) holder(addr netip.Addr) string {
	for _, nb := range a.n.Neighbours() {
		for _, other := range nb.Addrs {
			if other == addr {
				return "that of " + nb.Container + "/" + nb.IfName + " on " + nb.NodeName
			}
		}
	}
	return "the gateway's"
}

// lookup returns a lease of this node.
func (a *attendant) lookup(is func(ipam.Lease) bool) (ipam.Lease, bool) {
	for _, l := range a.n.cfg.Leases.Leases() {
		if is(l) {
			return l, true
		}
	}
	return ipam.Lease{}, false
}

// say warns of one kind of event, not too often: any container can make one happen.
func (a *attendant) say(now time.Time, kind answer.EventKind, text string) {
	if last, ok := a.warned[kind]; ok && now.Sub(last) < warnInterval {
		return
	}
	a.warned[kind] = now
	a.n.Warn(fmt.Sprintf("answers %d", kind), text)
}
