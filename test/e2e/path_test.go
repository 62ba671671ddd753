package e2e

import (
	"fmt"
	"testing"
	"time"

	"meshnet/meshd/wire"
	"meshnet/test/e2e/lab"
)

// couple is two hosts with a container each.
type couple struct {
	lab     *lab.Lab
	hosts   []*lab.Host
	web, db *lab.Container
}

func newCouple(t *testing.T, l *lab.Lab, hosts []*lab.Host) *couple {
	t.Helper()
	mesh(t, "mesh", hosts...)
	x := &couple{lab: l, hosts: hosts, web: hosts[0].LXC(lab.LXC{Name: "web"}), db: hosts[1].LXC(lab.LXC{Name: "db"})}
	x.web.Reaches(x.db, waitMesh)
	return x
}

// finds keeps long frames flowing until both hosts know that the MTU of their path is from low to high, and whether packets are cut.
func (x *couple) finds(within time.Duration, low, high int, cut bool) {
	for _, h := range x.hosts {
		h.Within(within, fmt.Sprintf("the path has an MTU of %d to %d, cut: %v", low, high, cut), func() bool {
			x.web.Ping(x.db.Addr(), 1400) // which may be lost
			p := peers(h)
			return len(p) == 1 && low <= p[0].PathMTU && p[0].PathMTU <= high && p[0].PathCut == cut
		}, func() string { return h.Try("meshctl", "peers").Stdout })
	}
}

// longest sends TCP in both directions and returns the length of the longest datagram with frames that a host has sent meanwhile.
func (x *couple) longest(t *testing.T) int {
	t.Helper()
	seen := x.lab.Capture()
	for _, pair := range [][2]*lab.Container{{x.web, x.db}, {x.db, x.web}} {
		if _, err := transfer(pair[0], pair[1], pair[1].IPv4(), 2<<20); err != nil {
			t.Errorf("TCP from %s to %s: %v", pair[0].Name, pair[1].Name, err)
		}
	}
	longest := 0
	for _, p := range seen.Stop() {
		if len(p.Payload) > 0 && wire.Type(p.Payload[0]) == wire.TypeFrame {
			longest = max(longest, len(p.Payload))
		}
	}
	return longest
}

// "Pieces of frames are as long as the path carries." A device that takes less is noticed.
//
//	a: web ══ underlay of MTU 9000, 1500 and 1280 ══ b: db
func TestPathMTU(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	l.MTU(9000)
	x := newCouple(t, l, hosts)
	l.Singly()
	for _, row := range []struct{ mtu, low, high int }{{9000, 7000, 8972}, {1500, 1400, 1472}, {1280, 1150, 1252}} {
		l.MTU(row.mtu)
		x.finds(20*time.Second, row.mtu, row.mtu, false)
		if n := x.longest(t); n < row.low || n > row.high {
			t.Errorf("underlay MTU %d: the longest datagram has %d bytes, want %d to %d", row.mtu, n, row.low, row.high)
		}
	}
}

// "An IPv4 path that does not even carry 1,232 bytes whole cuts them, and is shown to."
//
//	a: web ══ underlay of IPv4 and MTU 576 ══ b: db
func TestPathMTUBelowBase(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	for _, h := range hosts {
		h.Output("ip", "-6", "addr", "flush", "dev", "eth0")
	}
	l.MTU(576)
	x := newCouple(t, l, hosts)
	x.finds(20*time.Second, 1260, 1260, true)
	for _, addr := range x.db.Addrs() {
		if _, err := transfer(x.web, x.db, addr, 1<<20); err != nil {
			t.Errorf("TCP to %v: %v", addr, err)
		}
	}
}

// "A path that has become narrower without a word is noticed within a few seconds": a connection under load survives it.
//
//	a: web ══ underlay of MTU 1500, of which 1400 are left ══ b: db
func TestPathMTUBlackHole(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	x := newCouple(t, l, hosts)
	x.finds(20*time.Second, 1500, 1500, false)
	l.Singly()
	done := make(chan error, 1)
	go func() {
		_, err := transfer(x.web, x.db, x.db.IPv4(), 64<<20)
		done <- err
	}()
	l.BlackHole(1400)
	if err := <-done; err != nil {
		t.Errorf("TCP under which the path became narrow: %v", err)
	}
	x.finds(20*time.Second, 1385, 1400, false)
	if n := x.longest(t); n < 1250 || n > 1372 {
		t.Errorf("the longest datagram has %d bytes, want 1250 to 1372", n)
	}
	if n := counted(hosts[0], func(name string) bool { return name == "node_path_narrowed" }); n == 0 {
		t.Error("node_path_narrowed = 0, want it counted")
	}
}
