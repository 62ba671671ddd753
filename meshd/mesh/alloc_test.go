package mesh

import (
	"fmt"
	"testing"
	"time"

	"meshnet/meshd/offload"
	"meshnet/meshd/offload/offloadtest"
	"meshnet/meshd/session"
)

// newPath returns hosts of which the first knows that macA is behind it and macB behind the second; what it sends ends
// nowhere.
func newPath(t testing.TB, hosts int) []*host {
	t.Helper()
	now := time.Now()
	all := newHosts(t, now, hosts, 1500)
	for _, h := range all {
		h.sw.Neighbours(map[MAC]session.NodeID{macA: all[0].id, macB: all[1].id})
		h.sw.Advance(now)
	}
	all[0].out.under = &void{}
	return all
}

// burst is how many bytes of TCP a kernel hands over at once.
const burst = 60000

// datagrams stands for two datagrams that go as one.
const datagrams = -1

func TestTheDataPathDoesNotAllocate(t *testing.T) {
	tests := []struct {
		name  string
		hosts int
		dst   MAC
		len   int
		open  bool // at the other end
	}{
		{"switch and seal, unicast, one piece", 2, macB, 60, false},
		{"switch and seal, unicast, two pieces", 2, macB, 1514, false},
		{"switch and seal, broadcast to 8 peers, one piece", 9, broadcast, 60, false},
		{"switch and seal, broadcast to 8 peers, two pieces", 9, broadcast, 1514, false},
		{"seal, open and switch, one piece", 2, macB, 60, true},
		{"seal, open and switch, two pieces", 2, macB, 1514, true},
		{"seal, open and switch, broadcast, two pieces", 2, broadcast, 1514, true},
		{"seal, open and switch, a burst of TCP", 2, macB, burst, true},
		{"seal, open and switch, datagrams of one flow", 2, macB, datagrams, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hosts := newPath(t, test.hosts)
			end := &sink{}
			if test.open {
				hosts[1].in = hosts[1].sw.NewInbound(end)
				hosts[0].out.under = &loop{to: hosts[1]}
			}
			frames := packets(plain(test.dst, macA, max(test.len, 60), 1), plain(test.dst, macA, max(test.len, 60), 2))
			if test.len == datagrams {
				one := offloadtest.Packet{Dst: macB, Src: macA, Kind: offload.UDP, Payload: 64, Size: 64}.Make()
				frames = [][]byte{offload.Slice(make([]byte, 0, 500), one, 0, 1), offload.Slice(make([]byte, 0, 500), one, 0, 1)}
			}
			if test.len == burst {
				frames = [][]byte{super(burst, 1), super(burst, 2)}
			}
			runs := 0
			got := testing.AllocsPerRun(100, func() {
				runs++
				hosts[0].out.batch(time.Now(), frames)
			})
			if got != 0 {
				t.Errorf("allocations per batch = %v, want 0", got)
			}
			if want := runs * len(frames); test.open && end.frames != want && test.len != datagrams {
				t.Errorf("frames written to the TAP = %d, want %d", end.frames, want)
			}
			if got := hosts[0].count("no_session"); got != 0 {
				t.Errorf("copies without a session = %d, want 0", got)
			}
		})
	}
}

func BenchmarkOutbound(b *testing.B) {
	for _, dst := range []struct {
		name  string
		mac   MAC
		hosts int
	}{{"unicast", macB, 2}, {"broadcast8", broadcast, 9}} {
		for _, length := range []int{64, 1514, burst} {
			b.Run(fmt.Sprintf("%s/%dB", dst.name, length), func(b *testing.B) {
				o := newPath(b, dst.hosts)[0].out
				frames := benchmarkFrames(dst.mac, length)
				b.SetBytes(int64(length))
				for n := 0; n < b.N; n += len(frames) {
					o.batch(time.Now(), frames)
				}
			})
		}
	}
}

// BenchmarkSealOpenInbound seals too, because a datagram is opened once: BenchmarkOutbound is to be taken off.
func BenchmarkSealOpenInbound(b *testing.B) {
	for _, length := range []int{64, 1514, burst} {
		b.Run(fmt.Sprintf("%dB", length), func(b *testing.B) {
			hosts := newPath(b, 2)
			hosts[1].in = hosts[1].sw.NewInbound(&sink{})
			hosts[0].out.under = &loop{to: hosts[1]}
			frames := benchmarkFrames(macB, length)
			b.SetBytes(int64(length))
			for n := 0; n < b.N; n += len(frames) {
				hosts[0].out.batch(time.Now(), frames)
			}
		})
	}
}

// BenchmarkPublish publishes a full fdb.
func BenchmarkPublish(b *testing.B) {
	sw, now := newSwitch(Limits{PerPeer: DefaultFDB})
	for i := range DefaultFDB {
		sw.Learn(now, mac(i), self)
	}
	for b.Loop() {
		sw.Control.publish(now)
	}
}

// benchmarkFrames returns a batch of TCP over IPv6, so that the boundary has to look: frames, or bursts.
func benchmarkFrames(dst MAC, length int) [][]byte {
	frames := make([][]byte, readBatch)
	for i := range frames {
		if length == burst {
			frames[i] = super(burst, uint64(i))
			copy(frames[i][offload.HeaderLen:], dst[:])
			continue
		}
		frames[i] = packets(eth(dst, macA, etherTypeIPv6, ipv6(host6, host6, 6, make([]byte, length-54))))[0]
	}
	return frames
}
