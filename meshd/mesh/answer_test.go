package mesh

import (
	"bytes"
	"testing"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/session"
)

// echo is an Answerer that takes ARP and what is for UDP port 67, and answers with "re:" and the frame.
type echo struct{ partial []bool }

func (e *echo) Answer(_ time.Time, frame []byte, partial bool, dst []byte) ([]byte, bool) {
	f, _ := parseFrame(frame, len(frame))
	if f.etherType != etherTypeARP && (f.etherType != etherTypeIPv4 || judgeUDP(f.payload[20:], 67, 67, dropDHCPv4) == passes) {
		return nil, false
	}
	e.partial = append(e.partial, partial)
	return append(append(dst, "re:"...), frame...), true
}

// "It takes a frame from the TAP: it goes no further", and the reply is written to the TAP.
func TestAnswers(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	e := &echo{}
	a.sw.answerer, a.out.answers.tap = e, a.tap
	ask := eth(broadcast, macA, etherTypeARP, make([]byte, 28))
	dhcp := eth(broadcast, macA, etherTypeIPv4, ipv4(17, 0, 0, append([]byte{0, 68, 0, 67}, make([]byte, 8)...)))
	other := eth(broadcast, macA, etherTypeIPv4, ipv4(17, 0, 0, append([]byte{4, 0, 0, 99}, make([]byte, 8)...)))
	lldp := eth(MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}, macA, etherTypeLLDP, make([]byte, 46))

	partial := packets(dhcp)[0]
	offload.Header{Flags: offload.NeedsChecksum, Start: 34, Offset: 6}.Put(partial)
	a.out.batch(now, append(packets(ask, dhcp, other, lldp), partial))
	a.deliver(t, now, b)
	re := func(f []byte) []byte { return append([]byte("re:"), f...) }
	if got := a.tap.written; len(got) < 2 || !bytes.Equal(got[0], re(ask)) || !bytes.Equal(got[1], re(dhcp)) || len(got) != 3 {
		t.Errorf("written to the TAP: %q, want three answers", got)
	}
	if len(e.partial) != 3 || e.partial[0] || e.partial[1] || !e.partial[2] {
		t.Errorf("partial = %v, want the third", e.partial)
	}
	b.wantFrames(t, "at the other host", other)
	a.wantCount(t, "answers", 3)
	a.wantCount(t, "boundary_dhcp4", 0)
	a.wantCount(t, "boundary_reserved_group", 1)

	a.sw.answerer = nil
	a.out.batch(now, packets(dhcp))
	a.wantCount(t, "boundary_dhcp4", 1)
}

// What comes from the TAP with the source of a container on another host is dropped.
func TestSourceOfAnotherHost(t *testing.T) {
	now := time.Now()
	hosts := newHosts(t, now, 2, 1500)
	a, b := hosts[0], hosts[1]
	a.sw.Neighbours(map[MAC]session.NodeID{macA: a.id, macB: b.id})
	a.sw.Advance(now)
	a.out.batch(now, packets(eth(broadcast, macB, etherTypeIPv4, ipv4(6, 0, 0, make([]byte, 20))), eth(broadcast, macA, etherTypeIPv4, ipv4(6, 0, 0, make([]byte, 20)))))
	if n := a.deliver(t, now, b); n != 1 {
		t.Errorf("datagrams sent = %d, want 1", n)
	}
	a.wantCount(t, "source_remote", 1)
}

// An answerer that has nothing to say costs no allocation, and neither does one that has.
func TestAnsweringDoesNotAllocate(t *testing.T) {
	hosts := newPath(t, 2)
	hosts[0].sw.answerer, hosts[0].out.answers.tap = quick{}, &sink{}
	frames := packets(eth(broadcast, macA, etherTypeARP, make([]byte, 28)), plain(macB, macA, 100, 1))
	if n := testing.AllocsPerRun(100, func() { hosts[0].out.batch(time.Now(), frames) }); n != 0 {
		t.Errorf("allocations per batch = %v, want 0", n)
	}
}

type quick struct{}

func (quick) Answer(_ time.Time, frame []byte, _ bool, dst []byte) ([]byte, bool) {
	if frame[12] == 0x08 && frame[13] == 0x06 {
		return append(dst, frame...), true
	}
	return nil, false
}
