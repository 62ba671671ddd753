package ipam

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"meshnet/ipam/registry"
)

// BenchmarkLease leases on a real disk: alone (each lease pays its own fsync) and from 64 goroutines (they share).
func BenchmarkLease(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, err := Open(b.TempDir(), testConfig())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var n atomic.Int64
			done := make(chan error, callers)
			b.ResetTimer()
			for range callers {
				go func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						if _, err := s.lease6(epoch, Attachment{fmt.Sprint("c", i), "eth0"}, cni, nil); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLeaseInMemory leases on a disk that costs nothing.
func BenchmarkLeaseInMemory(b *testing.B) {
	s := openMem(b, newMemDirectory())
	b.ReportAllocs()
	for i := range b.N {
		mustLease(b, s, Attachment{fmt.Sprint("c", i), "eth0"})
	}
}

// BenchmarkHolder gives one lease to two holders in turn, on a disk that costs nothing.
func BenchmarkHolder(b *testing.B) {
	s := openMem(b, newMemDirectory())
	b.ReportAllocs()
	for i := range b.N {
		if _, err := s.lease6(epoch, web, []Holder{cni, lxc}[i%2], nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay reads a journal of 100,000 leases.
func BenchmarkReplay(b *testing.B) {
	t := newTable(Subnet(testConfig().Prefix))
	for i := range 100_000 {
		e := leaseEntry(fmt.Sprint("container-", i), 1<<20+uint64(i))
		e.lease.MAC = MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		if err := t.apply(&e); err != nil {
			b.Fatal(err)
		}
	}
	journal := snapshot(testHeader(), t)
	b.SetBytes(int64(len(journal)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := replay(journal); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLeaseIPv4 leases both addresses from a large own block and releases them: with the fsyncs of a real disk, and on a disk
// that costs nothing.
func BenchmarkLeaseIPv4(b *testing.B) {
	own := func(s *Store) {
		r := answer()
		r.Pools = []registry.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), BlockBits: 26}}
		r.Blocks = []registry.Grant{{Block: netip.MustParsePrefix("10.0.1.0/26")}}
		mustHear(b, s, epoch, r)
	}
	run := func(b *testing.B, s *Store) {
		own(s)
		b.ReportAllocs()
		for i := range b.N {
			now := epoch.Add(time.Duration(i) * time.Second)
			c := fmt.Sprint("c", i)
			if _, err := s.lease4(now, c, netip.Addr{}); err != nil {
				b.Fatal(err)
			}
			s.contacted = now
			s.held.v4.contact = now.UnixNano()
			if i%2 == 1 { // half of them at once, so that addresses cool and are reused
				mustRelease4(b, s, now, c)
				mustRelease4(b, s, now, fmt.Sprint("c", i-1))
			}
		}
	}
	b.Run("fsync", func(b *testing.B) {
		c := testConfig()
		c.Cooldown = -1
		s, err := Open(b.TempDir(), c)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		run(b, s)
	})
	b.Run("memory", func(b *testing.B) {
		c := testConfig()
		c.Cooldown = -1
		s, err := open(newMemDirectory(), c)
		if err != nil {
			b.Fatal(err)
		}
		run(b, s)
	})
}

// dualTable is a table of n dual-stack leases in 1,024 addresses a block.
func dualTable(b *testing.B, n int) *table {
	t := newTable(Subnet(testConfig().Prefix))
	text, err := (&terms{Registry: registry.ID{1}, Epoch: 1, Pools: []registry.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), BlockBits: 22}}}).encode()
	if err != nil {
		b.Fatal(err)
	}
	apply := func(e entry) {
		if err := t.apply(&e); err != nil {
			b.Fatal(err)
		}
	}
	apply(entry{kind: entryTerms, text: text})
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%1024 == 0 {
			apply(entry{kind: entryGained, prefix: netip.PrefixFrom(addr, 22)})
		}
		e := leaseEntry(fmt.Sprint("container-", i), 1<<20+uint64(i))
		e.lease.MAC = MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		e.lease.IPv4, e.lease.Bits = addr, 8
		apply(e)
	}
	return t
}

// BenchmarkReplayIPv4 reads a journal of 100,000 dual-stack leases, and says how much memory each then takes.
func BenchmarkReplayIPv4(b *testing.B) {
	const n = 100_000
	journal := snapshot(testHeader(), dualTable(b, n))
	b.SetBytes(int64(len(journal)))
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, kept, _, err := replay(journal)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ResetTimer()
	for range b.N {
		if _, _, _, err := replay(journal); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/lease")
	runtime.KeepAlive(kept)
}
