package netsim_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// burst sends count numbered datagrams at the given interval, and waits until all have arrived.
func burst(t *testing.T, from *netsim.Host, to netip.AddrPort, count int, interval time.Duration) {
	t.Helper()
	for i := range count {
		send(t, from, to, strconv.Itoa(i))
		time.Sleep(interval)
	}
	time.Sleep(10 * time.Second)
}

// "Every datagram takes between minimum and maximum, evenly drawn. The datagrams of a link stay in order all the same."
func TestLatency(t *testing.T) {
	tests := []struct{ minimum, maximum, interval time.Duration }{
		{0, 0, time.Millisecond},
		{20 * time.Millisecond, 20 * time.Millisecond, time.Millisecond},
		{5 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond},
		{5 * time.Millisecond, 50 * time.Millisecond, time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v to %v every %v", tt.minimum, tt.maximum, tt.interval), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := netsim.New(1)
				n.SetLatency(tt.minimum, tt.maximum)
				a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
				got := listen(t, b)
				burst(t, a, b.LocalAddr(), 200, tt.interval)
				synctest.Wait()
				if len(*got) != 200 {
					t.Fatalf("received %d datagrams, want 200", len(*got))
				}
				low, high := time.Hour, time.Duration(0)
				for i, r := range *got {
					if r.payload != strconv.Itoa(i) {
						t.Fatalf("datagram %d is %q: out of order", i, r.payload)
					}
					took := r.at - time.Duration(i)*tt.interval
					low, high = min(low, took), max(high, took)
				}
				if low < tt.minimum || high > tt.maximum {
					t.Errorf("latencies are %v to %v, want %v to %v", low, high, tt.minimum, tt.maximum)
				}
				even := (tt.maximum - tt.minimum) / 20
				if tt.interval > tt.maximum && (low > tt.minimum+even || high < tt.maximum-even) {
					t.Errorf("latencies are %v to %v, want them to fill %v to %v", low, high, tt.minimum, tt.maximum)
				}
			})
		})
	}
}

// fates runs 2,000 datagrams over one link and returns the numbers of those that arrived, in order of arrival.
// Meanwhile others hosts chatter with the same receiver.
func fates(t *testing.T, seed int64, others int, set func(*netsim.Network)) []string {
	var result []string
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(seed)
		set(n)
		a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
		got := listen(t, b)
		for i := range others {
			go burst(t, n.Host(fmt.Sprintf("192.0.2.%d:7000", 10+i)), b.LocalAddr(), 2000, time.Millisecond)
		}
		burst(t, a, b.LocalAddr(), 2000, time.Millisecond)
		synctest.Wait()
		for _, r := range *got {
			if r.from.Addr == a.LocalAddr() {
				result = append(result, r.payload)
			}
		}
	})
	return result
}

// "The fate of the k-th datagram of a link is fixed by the seed, no matter how the goroutines of other links are
// scheduled."
func TestSeedDecides(t *testing.T) {
	set := func(n *netsim.Network) {
		n.SetLatency(time.Millisecond, 9*time.Millisecond)
		n.SetLoss(0.1)
		n.SetReorder(0.1)
		n.SetDuplicate(0.1)
	}
	alone := fates(t, 7, 0, set)
	if again := fates(t, 7, 0, set); !slices.Equal(alone, again) {
		t.Error("two runs with one seed differ")
	}
	if crowded := fates(t, 7, 3, set); !slices.Equal(alone, crowded) {
		t.Error("the chatter of other hosts changed the fates of a link")
	}
	if other := fates(t, 8, 0, set); slices.Equal(alone, other) {
		t.Error("two seeds give the same run")
	}
}

// "Datagrams of different links that arrive at the same instant are handed over in an order fixed by the seed."
func TestSeedDecidesTies(t *testing.T) {
	order := func(seed int64) []netip.AddrPort {
		var from []netip.AddrPort
		synctest.Test(t, func(t *testing.T) {
			n := netsim.New(seed)
			b := n.Host("192.0.2.1:7000")
			got := listen(t, b)
			for i := range 20 {
				h := n.Host(fmt.Sprintf("192.0.2.%d:7000", 10+i))
				go send(t, h, b.LocalAddr(), "all at once")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for _, r := range *got {
				from = append(from, r.from.Addr)
			}
		})
		return from
	}
	first := order(1)
	if len(first) != 20 {
		t.Fatalf("received %d datagrams, want 20", len(first))
	}
	for range 5 {
		if again := order(1); !slices.Equal(first, again) {
			t.Fatalf("one seed gives the order %v, then %v", first, again)
		}
	}
	if other := order(2); slices.Equal(first, other) {
		t.Error("two seeds give one order")
	}
}

// Each probability acts by itself and about as often as it says.
func TestChances(t *testing.T) {
	tests := []struct {
		name                      string
		set                       func(*netsim.Network)
		missing, twice, overtaken float64 // shares wanted, of 2,000
	}{
		{"none", func(n *netsim.Network) {}, 0, 0, 0},
		{"loss", func(n *netsim.Network) { n.SetLoss(0.05) }, 0.05, 0, 0},
		{"certain loss", func(n *netsim.Network) { n.SetLoss(1) }, 1, 0, 0},
		{"reorder", func(n *netsim.Network) { n.SetReorder(0.05) }, 0, 0, 0.05},
		{"duplicate", func(n *netsim.Network) { n.SetDuplicate(0.05) }, 0, 0.05, 0.05},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fates(t, 1, 0, func(n *netsim.Network) {
				n.SetLatency(5*time.Millisecond, 5*time.Millisecond)
				tt.set(n)
			})
			times, highest, overtaken := make(map[string]int), -1, 0
			for _, s := range got {
				times[s]++
				if i, _ := strconv.Atoi(s); i < highest {
					overtaken++
				} else {
					highest = i
				}
			}
			check := func(what string, count int, want float64) {
				if share := float64(count) / 2000; share < want*0.7 || share > want*1.3 {
					t.Errorf("%s: %d of 2000, want about %.0f", what, count, want*2000)
				}
			}
			check("missing", 2000-len(times), tt.missing)
			check("twice", len(got)-len(times), tt.twice)
			check("overtaken", overtaken, tt.overtaken)
		})
	}
}

// What gets through from each of three hosts to each other, under every way of losing on purpose.
func TestLostOnPurpose(t *testing.T) {
	addr := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:7000", i)) }
	tests := []struct {
		name string
		set  func(*netsim.Network)
		want string // sender and receiver
	}{
		{"nothing", func(n *netsim.Network) {}, "12 13 21 23 31 32"},
		{"two groups", func(n *netsim.Network) {
			n.Partition([]netip.AddrPort{addr(1)}, []netip.AddrPort{addr(2), addr(3)})
		}, "23 32"},
		{"a group and the rest", func(n *netsim.Network) { n.Partition([]netip.AddrPort{addr(2)}) }, "13 31"},
		{"one cut, one way", func(n *netsim.Network) { n.Cut(addr(1), addr(2)) }, "13 21 23 31 32"},
		{"healed", func(n *netsim.Network) {
			n.Partition([]netip.AddrPort{addr(2)})
			n.Cut(addr(1), addr(3))
			n.Heal()
		}, "12 13 21 23 31 32"},
		{"the next one from 1", func(n *netsim.Network) { n.DropNext(addr(1), 1) }, "13 21 23 31 32"},
		{"the next three from 2", func(n *netsim.Network) { n.DropNext(addr(2), 3) }, "12 13 31 32"},
		{"by content", func(n *netsim.Network) {
			n.Filter(func(from, to netip.AddrPort, b []byte) bool { return string(b) != "to 3" })
		}, "12 21 31 32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := netsim.New(1)
				hosts, got := make([]*netsim.Host, 4), make([]*[]received, 4)
				for i := 1; i <= 3; i++ {
					hosts[i] = n.Host(addr(i).String())
					got[i] = listen(t, hosts[i])
				}
				tt.set(n)
				for from := 1; from <= 3; from++ {
					for to := 1; to <= 3; to++ {
						if from != to {
							send(t, hosts[from], addr(to), fmt.Sprintf("to %d", to))
						}
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if through := matrix(got); through != tt.want {
					t.Errorf("got through: %s, want %s", through, tt.want)
				}
			})
		})
	}
}

// matrix writes who heard whom, sorted.
func matrix(got []*[]received) string {
	var s []string
	for to := 1; to < len(got); to++ {
		for _, r := range *got[to] {
			s = append(s, fmt.Sprintf("%d%d", r.from.Addr.Addr().As4()[3], to))
		}
	}
	slices.Sort(s)
	out := fmt.Sprint(s)
	return out[1 : len(out)-1]
}

// "Tap has observe see every datagram as it is sent, with its fate."
func TestTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		a, b, c := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000"), n.Host("192.0.2.3:7000")
		n.Cut(a.LocalAddr(), c.LocalAddr())
		var got []string
		n.Tap(func(e netsim.Event) {
			got = append(got, fmt.Sprintf("%v>%v %s %v", e.From.Addr(), e.To.Addr(), e.Datagram, e.Fate))
			if string(e.Datagram) == "first" {
				n.DropNext(a.LocalAddr(), 1) // "and may call the Network"
			}
		})
		send(t, a, b.LocalAddr(), "first")
		send(t, a, b.LocalAddr(), "second")
		send(t, a, c.LocalAddr(), "third")
		n.SetLoss(1)
		send(t, a, b.LocalAddr(), "fourth")
		n.Tap(nil)
		send(t, a, b.LocalAddr(), "fifth")
		want := []string{
			"192.0.2.1>192.0.2.2 first passed",
			"192.0.2.1>192.0.2.2 second dropped",
			"192.0.2.1>192.0.2.3 third partitioned",
			"192.0.2.1>192.0.2.2 fourth lost",
		}
		if !slices.Equal(got, want) {
			t.Errorf("observed %q, want %q", got, want)
		}
	})
}

// "Send sends one datagram from any address."
func TestSendForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		b := n.Host("192.0.2.2:7000")
		got := listen(t, b)
		from := netip.MustParseAddrPort("203.0.113.66:666")
		n.Send(from, b.LocalAddr(), []byte("replayed"))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(*got) != 1 || (*got)[0].payload != "replayed" || (*got)[0].from.Addr != from {
			t.Errorf("received %+v, want one datagram from %v", *got, from)
		}
	})
}

// A network is used from many goroutines at once; the race detector watches.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		n.SetReorder(0.2)
		hosts := make([]*netsim.Host, 6)
		for i := range hosts {
			hosts[i] = n.Host(fmt.Sprintf("192.0.2.%d:7000", i+1))
			listen(t, hosts[i])
		}
		for _, from := range hosts {
			go func() {
				for i := range 100 {
					for _, to := range hosts {
						send(t, from, to.LocalAddr(), strconv.Itoa(i))
					}
					n.Heal()
					n.SetLatency(time.Millisecond, 2*time.Millisecond)
					n.Stats()
					time.Sleep(time.Millisecond)
				}
			}()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if stats := n.Stats(); stats.Delivered != 3600 {
			t.Errorf("Stats() = %+v, want 3600 delivered", stats)
		}
	})
}

// BenchmarkAllToAll is a simulated second in which each of 30 hosts sends 100 datagrams to each other.
func BenchmarkAllToAll(b *testing.B) {
	n := netsim.New(1)
	n.SetLatency(0, 0)
	hosts := make([]*netsim.Host, 30)
	var ds []wire.Datagram
	for i := range hosts {
		hosts[i] = n.Host(fmt.Sprintf("192.0.2.%d:7000", i+1))
		defer hosts[i].Close()
		ds = append(ds, wire.Datagram{Buf: make([]byte, 200), Endpoint: wire.Endpoint{Addr: hosts[i].LocalAddr()}})
		go func() {
			in := make([]wire.Datagram, 64)
			for i := range in {
				in[i].Buf = make([]byte, wire.MaxDatagram)
			}
			for {
				if _, err := hosts[i].ReadBatch(in, -1); err != nil {
					return
				}
			}
		}()
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 100 {
			for _, h := range hosts {
				if _, err := h.WriteBatch(ds); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/90000, "ns/datagram")
}
