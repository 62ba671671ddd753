package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// The overlay keeps MTU 1500 on any underlay: frames are cut in two, and what IPv6 itself fragments goes as well.
// TCP brings every byte, in both directions.
//
//	a: web ══ underlay (MTU 1500) ══ b: db
func TestBigPacketsAndTCP(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db", Hook: lab.HookEmpty})
	web.Reaches(db, waitMesh)
	for _, size := range []int{8, 1000, 1200, 1400, 1452, 1453, 4000, 16000} { // 1452 + ICMPv6 8 + IPv6 40 = 1500
		if _, err := web.Ping(db.Addr(), size); err != nil {
			t.Errorf("%d bytes of payload: %v", size, err)
		}
	}
	for _, size := range []int{8, 1452, 1472, 1473, 16000} { // 1472 + ICMP 8 + IPv4 20 = 1500
		if _, err := web.Ping(db.IPv4(), size); err != nil {
			t.Errorf("%d bytes of payload: %v", size, err)
		}
	}
	for _, pair := range [][2]*lab.Container{{web, db}, {db, web}} {
		for _, addr := range pair[1].Addrs() {
			rate, err := transfer(pair[0], pair[1], addr, 16<<20)
			if err != nil {
				t.Errorf("TCP from %s to %s, %v: %v", pair[0].Name, pair[1].Name, addr, err)
			}
			t.Logf("TCP from %s to %s, %v: %.0f Mbit/s", pair[0].Name, pair[1].Name, addr, rate/1e6)
		}
	}
}

// Nothing but IPv6 between the hosts is enough.
//
//	a: web ══ IPv6-only underlay ══ b: db
func TestIPv6Underlay(t *testing.T) {
	l := newLab(t)
	a, b := l.HostIPv6("a"), l.HostIPv6("b")
	mesh(t, "mesh", a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)
}

// A lossy underlay slows the mesh down and breaks nothing.
//
//	a: web ══ underlay that loses 5 % of each direction ══ b: db
func TestLossyUnderlay(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	l.Lose(5)
	mesh(t, "mesh", hosts...)
	web, db := hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	if _, err := transfer(web, db, db.IPv4(), 1<<20); err != nil {
		t.Errorf("TCP under 5 %% loss: %v", err)
	}
}

// transfer sends n random bytes over TCP to addr, which is one of to's, checks that they arrive, and returns bits per second.
func transfer(from, to *lab.Container, addr netip.Addr, n int64) (rate float64, err error) {
	ln, err := to.Listen(addr)
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	arrived := make(chan error, 1)
	got := sha256.New()
	go func() { arrived <- receive(ctx, ln, got) }()

	began := time.Now()
	conn, err := from.Dial(ctx, ln.Addr().String())
	if err != nil {
		return 0, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	sent := sha256.New()
	_, err = io.CopyN(io.MultiWriter(conn, sent), rand.Reader, n)
	if err := errors.Join(err, conn.Close(), <-arrived); err != nil {
		return 0, err
	}
	if g, w := got.Sum(nil), sent.Sum(nil); string(g) != string(w) {
		return 0, fmt.Errorf("SHA-256 of what arrived = %x, of what was sent = %x", g, w)
	}
	return float64(n*8) / time.Since(began).Seconds(), nil
}

func receive(ctx context.Context, ln net.Listener, to io.Writer) error {
	deadline, _ := ctx.Deadline()
	ln.(*net.TCPListener).SetDeadline(deadline)
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	_, err = io.Copy(to, conn)
	return err
}
