package mesh

import (
	"bytes"
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// host is a member with a switch, of which a test drives every part.
type host struct {
	*member
	sw    *Switch
	out   *outbound
	in    *Inbound
	tap   *recorder
	under *underlay
	told  []report // by the frame path, not yet to control
}

type report struct {
	mac  MAC
	node session.NodeID
}

// Learn implements Report.
func (h *host) Learn(mac MAC, node session.NodeID) bool {
	h.told = append(h.told, report{mac, node})
	return true
}

// newHosts returns n hosts, the first of which has sessions with all others. The MTU is in bytes.
func newHosts(t testing.TB, now time.Time, n, mtu int) []*host {
	t.Helper()
	hosts := make([]*host, n)
	for i := range hosts {
		h := &host{member: newMember(t, byte(i+1)), tap: &recorder{}, under: &underlay{}}
		h.sw = New(Config{Self: h.id, MTU: mtu, Boundary: testBoundary, Report: h})
		h.out = newOutbound(h.sw, h.under)
		h.in = h.sw.NewInbound(h.tap)
		hosts[i] = h
	}
	var all []*session.Session
	for _, h := range hosts[1:] {
		with, back := connect(t, now, hosts[0].member, h.member)
		all = append(all, with)
		h.sw.SetPeers([]*session.Session{back})
	}
	hosts[0].sw.SetPeers(all)
	return hosts
}

// control does what the switch's owner does: it hands over the reports and advances.
func (h *host) control(now time.Time) {
	for _, r := range h.told {
		h.sw.Learn(now, r.mac, r.node)
	}
	h.told = nil
	h.sw.Advance(now)
}

// deliver hands to each of the others what h has sent to it, and returns the number of datagrams sent.
func (h *host) deliver(t testing.TB, now time.Time, others ...*host) int {
	t.Helper()
	sent := h.under.take()
	for _, d := range sent {
		for _, o := range others {
			if d.Endpoint.Addr == o.endpoint {
				header, k, payload := o.open(t, d.Buf)
				o.in.Datagram(now, header, k, payload)
			}
		}
	}
	for _, o := range others {
		if err := o.in.Flush(); err != nil {
			t.Fatalf("Flush() error = %v", err)
		}
	}
	return len(sent)
}

// count returns one of the switch's counters.
func (h *host) count(name string) uint64 { return h.sw.Counters().Snapshot()[name] }

// wantCount fails unless counter name is want.
func (h *host) wantCount(t *testing.T, name string, want uint64) {
	t.Helper()
	if got := h.count(name); got != want {
		t.Errorf("counter %s = %d, want %d", name, got, want)
	}
}

// wantFrames fails unless exactly these frames were written to the TAP since the last call.
func (h *host) wantFrames(t *testing.T, what string, want ...[]byte) {
	t.Helper()
	got := h.tap.written
	h.tap.written = nil
	if len(got) != len(want) {
		t.Errorf("%s: frames written to the TAP = %d, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: frame %d = %x, want %x", what, i, got[i], want[i])
		}
	}
}

// recorder is a TAP that keeps copies of what is written to it.
type recorder struct {
	TAP
	written [][]byte
	err     error // of every write
}

func (r *recorder) WriteBatch(frames [][]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for _, f := range frames {
		r.written = append(r.written, bytes.Clone(f))
	}
	return len(frames), nil
}

// loop is an underlay that opens what it is given at the other end at once, in place.
type loop struct {
	to *host
}

func (l *loop) WriteBatch(ds []wire.Datagram) (int, error) {
	now := time.Now()
	for _, d := range ds {
		h, err := wire.ParseHeader(d.Buf)
		if err != nil {
			return 0, err
		}
		k := l.to.machine.Lookup(h.Receiver)
		payload, err := k.Open(h, d.Buf)
		if err != nil {
			return 0, err
		}
		l.to.in.Datagram(now, h, k, payload)
	}
	return len(ds), l.to.in.Flush()
}

// sink is a TAP that takes everything and keeps nothing.
type sink struct {
	TAP
	frames int
}

func (s *sink) WriteBatch(frames [][]byte) (int, error) {
	s.frames += len(frames)
	return len(frames), nil
}

// void is an underlay that takes everything and keeps nothing.
type void struct{ datagrams int }

func (v *void) WriteBatch(ds []wire.Datagram) (int, error) {
	v.datagrams += len(ds)
	return len(ds), nil
}
