package e2e

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"meshnet/meshd/wire"
	"meshnet/test/e2e/lab"
)

// lanes are how many a host has with this many processors.
func lanes() int { return min(runtime.NumCPU(), wire.MaxLanes) }

// useLanes keeps TCP flowing in both directions until each host sends by as many lanes.
func (x *couple) useLanes(t *testing.T, within time.Duration, want int) {
	t.Helper()
	for _, h := range x.hosts {
		h.Within(within, fmt.Sprintf("%d lanes are in use", want), func() bool {
			for _, pair := range [][2]*lab.Container{{x.web, x.db}, {x.db, x.web}} {
				if _, err := transfer(pair[0], pair[1], pair[1].IPv4(), 256<<10); err != nil {
					t.Fatalf("TCP from %s to %s: %v", pair[0].Name, pair[1].Name, err)
				}
			}
			p := peers(h)
			return len(p) == 1 && p[0].Lanes == want
		}, func() string { return h.Try("meshctl", "peers", "--json").Stdout })
	}
}

// ports sends many TCP flows to and fro, and returns how many ports the frames of each host left by, and how many ports they went to.
func (x *couple) ports(t *testing.T) (sources, destinations int) {
	t.Helper()
	seen := x.lab.Capture()
	for range 16 {
		for _, pair := range [][2]*lab.Container{{x.web, x.db}, {x.db, x.web}} {
			if _, err := transfer(pair[0], pair[1], pair[1].Addr(), 64<<10); err != nil {
				t.Fatalf("TCP from %s to %s: %v", pair[0].Name, pair[1].Name, err)
			}
		}
	}
	from, to := map[string]bool{}, map[string]bool{}
	for _, p := range seen.Stop() {
		if len(p.Payload) > 0 && wire.Type(p.Payload[0]) == wire.TypeFrame {
			from[p.Src.String()], to[p.Dst.String()] = true, true
		}
	}
	return len(from) / len(x.hosts), len(to) / len(x.hosts)
}

// "While long frames go to a peer, they go by several pairs of UDP ports, if these pass", all to the one port that a peer listens on. A
// firewall that lets only that port's own datagrams in is noticed within seconds; nothing is lost for long, and no connection breaks.
//
//	a: web ══ underlay ══ b: db
func TestLanes(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	x := newCouple(t, l, hosts)
	x.useLanes(t, 10*time.Second, lanes())
	from, to := 0, 0
	hosts[0].Within(10*time.Second, "frames leave each host by as many ports, for one", func() bool {
		from, to = x.ports(t)
		return from == lanes() && to == 1
	}, func() string { return fmt.Sprintf("%d ports, for %d", from, to) })

	stop := stream(t, x.web, x.db)
	const firewall = `table inet firewall {
	chain in {
		type filter hook input priority 0
		udp dport 7000 udp sport != 7000 drop
	}
}
`
	if r := hosts[1].TryInput(firewall, "nft", "-f", "-"); r.Code != 0 {
		t.Fatalf("nft: %s", r.Stderr)
	}
	hosts[0].Within(15*time.Second, "the lanes that do not pass are not used", func() bool { return peers(hosts[0])[0].Lanes == 1 },
		func() string { return hosts[0].Try("meshctl", "peers", "--json").Stdout })
	if err := stop(); err != nil {
		t.Errorf("the connection that was there broke: %v", err)
	}
	if from, _ := x.ports(t); lanes() > 1 && from >= lanes() {
		t.Errorf("frames leave the hosts by %d ports, one of which may not use but one", from)
	}
}

// stream sends TCP without a pause until the function that it returns is called, which waits for some more to arrive first.
func stream(t *testing.T, from, to *lab.Container) (stop func() error) {
	t.Helper()
	ln, err := to.Listen(to.IPv4())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	out, err := from.Dial(ctx, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); in.Close() })
	go func() {
		for buf := make([]byte, 64<<10); ; {
			if _, err := out.Write(buf); err != nil {
				return
			}
		}
	}()
	return func() error { return arrives(in, 64<<20) }
}

// arrives reads n bytes, the last of which were sent after those that were on their way, within 30 s.
func arrives(in net.Conn, n int) error {
	in.SetReadDeadline(time.Now().Add(30 * time.Second))
	for buf := make([]byte, 1<<20); n > 0; {
		k, err := in.Read(buf)
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}
