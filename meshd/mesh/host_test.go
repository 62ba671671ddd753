package mesh

import (
	"bytes"
	"testing"
	"time"

	"meshnet/meshd/offload"
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
		h.out = newOutbound(h.sw, 0, h.under)
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
				o.receive(t, now, d.Buf)
			}
		}
	}
	for _, o := range others {
		if _, err := o.in.Flush(now); err != nil {
			t.Fatalf("Flush() error = %v", err)
		}
	}
	return len(sent)
}

// receive hands datagram b to h's frame path.
func (h *host) receive(t testing.TB, now time.Time, b []byte) {
	t.Helper()
	header, k := h.parse(t, b)
	if err := h.in.Datagram(now, header, k, b); err != nil {
		t.Fatalf("Datagram(%.16x…) error = %v", b, err)
	}
}

// packets returns frames as a TAP without offloads does: with an offload header that says nothing, and room behind.
func packets(frames ...[]byte) [][]byte {
	all := make([][]byte, len(frames))
	for i, f := range frames {
		p := make([]byte, offload.HeaderLen, offload.HeaderLen+len(f)+offload.TailLen)
		all[i] = append(p, f...)
	}
	return all
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
	packets [][]byte // as they were written
	written [][]byte // the plain frames of these
	err     error    // of every write
}

func (r *recorder) WriteBatch(packets [][]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for _, p := range packets {
		r.packets = append(r.packets, bytes.Clone(p))
		offload.Segment(nil, bytes.Clone(p), func(plain []byte) { r.written = append(r.written, bytes.Clone(plain[offload.HeaderLen:])) })
	}
	return len(packets), nil
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
		if err := l.to.in.Datagram(now, h, l.to.machine.Lookup(h.Receiver), d.Buf); err != nil {
			return 0, err
		}
	}
	_, err := l.to.in.Flush(now)
	return len(ds), err
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
