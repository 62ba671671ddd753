package netsim

import (
	"net/netip"
	"time"
)

// A NATKind says whom a NAT lets in (RFC 4787; the names are RFC 3489's).
type NATKind uint8

// The kinds of NAT. All but the last have one mapping for each address inside (endpoint-independent mapping); they differ in whose
// datagrams come in through it.
const (
	FullCone          NATKind = iota // everybody's
	AddressRestricted                // of the addresses that something was sent to
	PortRestricted                   // of the addresses and ports that something was sent to
	Symmetric                        // the same, and each destination sees another port
)

func (k NATKind) String() string {
	return [...]string{"full cone", "address-restricted", "port-restricted", "symmetric"}[k]
}

// firstPort is where a translator begins to hand out ports; it takes them one after the other.
const firstPort = 20001

// A translator is what a NAT knows. It is pure: time comes in as an argument.
type translator struct {
	kind     NATKind
	external netip.Addr
	timeout  time.Duration // after which what was not used from inside is forgotten
	port     uint16        // handed out last
	out      map[flow]*mapping
	in       map[uint16]*mapping // by external port
}

// flow is what a mapping is made for: an address inside, and with Symmetric the destination.
type flow struct{ inside, destination netip.AddrPort }

// mapping is one external port.
type mapping struct {
	flow
	port uint16
	used time.Time                    // from inside
	sent map[netip.AddrPort]time.Time // to whom and when; with AddressRestricted without ports
}

func newTranslator(kind NATKind, external netip.Addr, timeout time.Duration) *translator {
	t := &translator{kind: kind, external: external, timeout: timeout, port: firstPort - 1}
	t.forget()
	return t
}

// forget loses all mappings, as a NAT that restarts does; the next ones have other ports.
func (t *translator) forget() { t.out, t.in = make(map[flow]*mapping), make(map[uint16]*mapping) }

// outward returns where a datagram from inside comes from for its destination.
func (t *translator) outward(now time.Time, inside, destination netip.AddrPort) netip.AddrPort {
	f := flow{inside: inside}
	if t.kind == Symmetric {
		f.destination = destination
	}
	m := t.out[f]
	if m == nil || now.Sub(m.used) >= t.timeout {
		if m != nil {
			delete(t.in, m.port)
		}
		t.port++
		m = &mapping{flow: f, port: t.port, sent: make(map[netip.AddrPort]time.Time)}
		t.out[f], t.in[m.port] = m, m
	}
	m.used = now
	m.sent[t.filter(destination)] = now
	return netip.AddrPortFrom(t.external, m.port)
}

// inward returns where inside a datagram for an external port goes, if it is let in.
func (t *translator) inward(now time.Time, from netip.AddrPort, port uint16) (inside netip.AddrPort, ok bool) {
	m := t.in[port]
	if m == nil || now.Sub(m.used) >= t.timeout {
		return netip.AddrPort{}, false
	}
	if t.kind != FullCone {
		if at, sent := m.sent[t.filter(from)]; !sent || now.Sub(at) >= t.timeout {
			return netip.AddrPort{}, false
		}
	}
	return m.inside, true
}

// filter returns what of an address matters to whom is let in.
func (t *translator) filter(a netip.AddrPort) netip.AddrPort {
	if t.kind == AddressRestricted {
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}
