package answer

import (
	"encoding/binary"
	"net/netip"
)

// ARP (RFC 826; IANA, "Address Resolution Protocol (ARP) Parameters").
const (
	arpLen     = 28
	arpRequest = 1
	arpReply   = 2
)

// arp answers who asks for an address, and says who has it who probes for one (RFC 5227).
func (s *Segment) arp(t *Tables, q *query, dst []byte) Result {
	p := q.payload
	if len(p) < arpLen {
		return Result{} // for the boundary, which counts it
	}
	// Hardware Type (2), Protocol Type (2), Hardware Length (1), Protocol Length (1), Operation (2).
	op := binary.BigEndian.Uint16(p[6:])
	if binary.BigEndian.Uint64(p)>>16 != 0x0001_0800_0604 || op != arpRequest && op != arpReply {
		return Result{}
	}
	// Sender Hardware Address (6), Sender Protocol Address (4), Target Hardware Address (6), Target Protocol Address (4).
	sender, target := netip.AddrFrom4([4]byte(p[14:])), netip.AddrFrom4([4]byte(p[24:]))
	if MAC(p[8:]) != q.src {
		return Result{Outcome: ARPInvalid}
	}
	if s.claims(t, q.src, sender) {
		return Result{Outcome: ARPClaimed, Event: Event{Claimed, q.src, sender}}
	}
	if sender == target {
		if holder := t.Holders[sender]; holder.MAC == q.src && !holder.Temporary {
			return Result{Outcome: ARPKept} // the neighbour table has told everybody
		}
		return Result{}
	}
	if op != arpRequest {
		return Result{}
	}
	from, to, outcome := s.resolve(t, q, target, sender.IsUnspecified())
	switch outcome {
	case pass:
		return Result{}
	case keep:
		return Result{Outcome: ARPKept}
	}
	b := appendEthernet(dst, q.src, from, etherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpReply)
	b = append(append(b, to[:]...), p[24:28]...)
	b = append(append(b, q.src[:]...), p[14:18]...)
	return Result{Outcome: ARPAnswered, Reply: b}
}

// claims reports whether addr, which src says it has, is another's.
func (s *Segment) claims(t *Tables, src MAC, addr netip.Addr) bool {
	holder, held := t.Holders[addr]
	return held && holder.MAC != src || s.gateway(addr)
}

// resolution is what becomes of the question who has an address.
type resolution uint8

const (
	pass    resolution = iota // it is nobody's that we know
	keep                      // it need not go any further
	respond                   // it is answered
)

// resolve says what becomes of q, which asks who has target, or, as a probe, whether anybody has. from is the source of the frame
// that answers, and to the MAC that target has.
func (s *Segment) resolve(t *Tables, q *query, target netip.Addr, probe bool) (from, to MAC, r resolution) {
	switch {
	case s.gateway(target) && s.Router:
		return MAC{}, MAC{}, keep // the kernel hears it itself
	case s.gateway(target) && (q.multicast() || q.dst == s.MAC):
		return s.MAC, s.MAC, respond
	}
	holder, held := t.Holders[target]
	switch {
	case !held || !q.multicast(): // who asks one station wants to know whether that is there
		return MAC{}, MAC{}, pass
	case holder.Temporary && (!probe || holder.MAC == q.src):
		return MAC{}, MAC{}, pass
	case holder.MAC == q.src:
		return MAC{}, MAC{}, keep
	case !holder.Local:
		return holder.MAC, holder.MAC, respond // as if from there, so that the bridge learns where that is
	case probe:
		return s.source(), holder.MAC, respond // the holder may not use it yet. Its own MAC must not come from the TAP
	}
	return MAC{}, MAC{}, keep // the holder hears it itself
}
