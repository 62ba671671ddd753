package ipam

import (
	"fmt"
	"sync/atomic"
	"testing"
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
