package netsim

import (
	"container/heap"
	"net/netip"
	"time"
)

// A packet is one datagram under way or in a receive queue.
type packet struct {
	at       time.Time
	link     *link
	to       netip.AddrPort // the receiver's own address; behind a NAT another than the link's
	sequence uint64         // within the link
	datagram []byte
}

// A schedule holds the datagrams under way, the earliest first, and the one timer that waits for it. Guarded by
// Network.mu.
type schedule struct {
	packets packetHeap
	timer   *time.Timer
	free    []*packet // read by their receivers, for reuse
}

type packetHeap []*packet

func (h packetHeap) Len() int { return len(h) }
func (h packetHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	if a.link.id != b.link.id {
		return a.link.id < b.link.id
	}
	return a.sequence < b.sequence
}
func (h packetHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *packetHeap) Push(p any)   { *h = append(*h, p.(*packet)) }
func (h *packetHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}

// push schedules a copy of datagram. Called with n.mu held.
func (n *Network) push(at time.Time, l *link, datagram []byte) {
	s := &n.schedule
	p := new(packet)
	if last := len(s.free) - 1; last >= 0 {
		p, s.free = s.free[last], s.free[:last]
	}
	l.sent++
	*p = packet{at: at, link: l, sequence: l.sent, datagram: append(p.datagram[:0], datagram...)}
	heap.Push(&s.packets, p)
	if s.packets[0] == p {
		s.timer.Reset(time.Until(at))
	}
}

// deliver hands over what is due and sets the timer for the rest. The timer calls it.
func (n *Network) deliver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, now := &n.schedule, time.Now()
	for len(s.packets) > 0 && !s.packets[0].at.After(now) {
		n.arrive(now, heap.Pop(&s.packets).(*packet))
	}
	if len(s.packets) > 0 {
		s.timer.Reset(s.packets[0].at.Sub(now))
	}
}

// arrive puts a packet into the queue of whoever has its destination now. Called with n.mu held.
func (n *Network) arrive(now time.Time, p *packet) {
	filtered := n.stats.Filtered
	h, to := n.enter(now, p.link.route)
	p.to = to
	if h == nil {
		if n.stats.Filtered == filtered {
			n.stats.Unreachable++
		}
		n.schedule.free = append(n.schedule.free, p)
		return
	}
	select {
	case h.queue <- p:
		n.stats.Delivered++
	default:
		n.stats.Overflow++
		n.schedule.free = append(n.schedule.free, p)
	}
}
