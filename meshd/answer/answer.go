package answer

import (
	"net/netip"
	"time"
)

// MAC is an IEEE 802 48-bit address, in transmission order.
type MAC = [6]byte

// Mode says whom DHCP and router solicitations are answered.
type Mode uint8

// The modes.
const (
	Off    Mode = iota // nobody: somebody else on the bridge does so
	Closed             // attachments
	Open               // and others, who get a lease of their own
)

// Segment is what all answers on one network have in common. It does not change.
type Segment struct {
	MAC    MAC            // of the gateway: what does not come from an attachment comes from it. The same on all hosts
	MTU    int            // bytes
	Prefix netip.Prefix   // of IPv6, a /64
	Pools  []netip.Prefix // of IPv4
	DHCP   Mode
	Router bool         // this host's kernel is the gateway, and forwards: it is announced as the way to everywhere
	DNS    []netip.Addr // servers, of both families
	Domain string       // in which containers have their names, and which is searched; "" for none
}

// Gateway4 returns the gateway's address in a pool: the one after the network's, which no attachment is given.
func Gateway4(pool netip.Prefix) netip.Addr { return pool.Masked().Addr().Next() }

// Gateway6 returns the gateway's address.
func (s *Segment) Gateway6() netip.Addr { return s.Prefix.Masked().Addr().Next() }

// LinkLocal returns the gateway's link-local address, made from its MAC (RFC 4291, appendix A).
func (s *Segment) LinkLocal() netip.Addr {
	m := s.MAC
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// source returns the MAC that frames from the TAP have which do not come from an attachment: not the gateway's where that is
// elsewhere on the bridge.
func (s *Segment) source() MAC {
	m := s.MAC
	if s.Router {
		m[5] ^= 1
	}
	return m
}

// Speaks reports whether mac is one that answers come from, and so can be no container's.
func (s *Segment) Speaks(mac MAC) bool { return mac == s.MAC || mac == s.source() }

// gateway reports whether addr is the gateway's, if there is one to speak for.
func (s *Segment) gateway(addr netip.Addr) bool {
	if s.DHCP == Off {
		return false
	}
	if addr.Is4() {
		pool, ok := s.pool(addr)
		return ok && addr == Gateway4(pool)
	}
	return addr == s.Gateway6() || addr == s.LinkLocal()
}

// pool returns the pool that addr is in.
func (s *Segment) pool(addr netip.Addr) (netip.Prefix, bool) {
	for _, p := range s.Pools {
		if p.Contains(addr) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Holder is the attachment that an address belongs to.
type Holder struct {
	MAC       MAC
	Local     bool // it is on this host
	Temporary bool // it asked for its lease here, and may be elsewhere by now: who wants it asks everybody
}

// Lease is what an attachment of this host holds.
type Lease struct {
	Name      string       // the host name that the container is told; may be ""
	IPv4      netip.Prefix // with the pool's length; zero: none
	IPv6      netip.Addr
	Temporary bool   // it ends when it is not renewed
	Rates     *Rates // its own, from one Tables to the next; nil: those of MACs without lease
}

// The time for which addresses are given. Whoever has an attachment keeps it, however long; the time is when the container learns
// of a change. A temporary one is another's after some time.
const (
	LeaseTime          = 6 * time.Hour
	TemporaryLeaseTime = time.Hour
)

// time returns for how long l is given.
func (l *Lease) time() time.Duration {
	if l.Temporary {
		return TemporaryLeaseTime
	}
	return LeaseTime
}

// Tables is what is known when a frame comes. It does not change once made.
type Tables struct {
	Holders map[netip.Addr]Holder // of all attachments of the network
	Leases  map[MAC]Lease         // of this host
}

// Result is what a frame comes to.
type Result struct {
	Outcome Outcome
	Reply   []byte // the frame that answers it; empty: none
	Event   Event
}

// Event is what the caller should know or do, beside answering.
type Event struct {
	Kind EventKind
	MAC  MAC        // of the container
	Addr netip.Addr // that the event is about, if it is about one
}

// EventKind is a kind of Event.
type EventKind uint8

// The kinds of events.
const (
	None      EventKind = iota
	Needs               // MAC holds nothing and asks for a lease: the frame may be offered again when it has one
	Renewed             // MAC was told that it holds Addr for another while
	Released            // MAC needs Addr no more
	Declined            // MAC says that somebody else uses Addr
	Claimed             // MAC says that it has Addr, which another attachment or the gateway has
	RogueDHCP           // MAC plays a DHCP server
	RogueRA             // MAC plays a router
)

// Answer says what a frame comes to that came from the TAP. partial: its UDP checksum is still to be computed. The reply is
// appended to dst. Without DHCP it does not allocate if dst has room for MaxAnswer bytes.
func (s *Segment) Answer(t *Tables, frame []byte, partial bool, dst []byte) Result {
	q, ok := parseFrame(frame)
	if !ok || q.src == s.MAC {
		return Result{}
	}
	q.partial = partial
	switch q.etherType {
	case etherTypeARP:
		return s.arp(t, &q, dst)
	case etherTypeIPv4:
		return s.udp4(t, &q, dst)
	}
	if nextHeader(q.payload) == protocolICMPv6 {
		return s.icmp6(t, &q, dst)
	}
	return s.udp6(t, &q, dst)
}
