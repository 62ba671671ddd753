package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"meshnet/test/e2e/lab"
)

// pathTo returns how h reaches another host, as meshctl peers says.
func pathTo(h, other *lab.Host) string {
	for _, p := range peers(h) {
		if p.Name == other.Name {
			return p.Path
		}
	}
	return "nothing"
}

// goes waits until both hosts say that they reach each other by a path that begins like this.
func goes(a, b *lab.Host, path string) {
	for _, pair := range [][2]*lab.Host{{a, b}, {b, a}} {
		pair[0].Within(30*time.Second, fmt.Sprintf("%s is reached %s", pair[1].Name, path), func() bool {
			return strings.HasPrefix(pathTo(pair[0], pair[1]), path)
		}, func() string { return pair[0].Try("meshctl", "peers").Stdout })
	}
}

// "Two containers talk whatever lies between their hosts": directly where the NATs let a hole be punched, else through a member.
//
//	hub ══ underlay ══ NAT ── host     for each kind of NAT; port-restricted and symmetric twice
func TestNATs(t *testing.T) {
	l := newLab(t)
	hub := l.Hosts("hub")[0]
	kinds := []lab.NAT{lab.FullCone, lab.AddressRestricted, lab.PortRestricted, lab.PortRestricted, lab.Symmetric, lab.Symmetric}
	hosts := []*lab.Host{hub}
	for i, kind := range kinds {
		hosts = append(hosts, l.HostBehind(kind, fmt.Sprintf("h%d", i)))
	}
	mesh(t, "mesh", hosts...)
	hosts = hosts[1:]
	for i, a := range hosts {
		goes(a, hub, "direct")
		for j := i + 1; j < len(hosts); j++ {
			path := "direct"
			if kinds[j] == lab.Symmetric && (kinds[i] == lab.PortRestricted || kinds[i] == lab.Symmetric) {
				path = "via " // the hub, or the host whose NAT lets everybody in
			}
			goes(a, hosts[j], path)
		}
	}
	var on []*lab.Container // the last four
	for i, h := range hosts[2:] {
		on = append(on, h.LXC(lab.LXC{Name: fmt.Sprintf("c%d", i)}))
	}
	allReach(t, on...)
	for _, pair := range [][2]*lab.Container{{on[0], on[1]}, {on[2], on[3]}, {on[0], on[3]}} {
		rate, err := transfer(pair[0], pair[1], pair[1].IPv4(), 8<<20)
		if err != nil {
			t.Errorf("TCP from %s to %s: %v", pair[0].Name, pair[1].Name, err)
		}
		t.Logf("TCP from %s to %s (%s): %.0f Mbit/s", pair[0].Name, pair[1].Name, pathTo(pair[0].Host, pair[1].Host), rate/1e6)
	}
	relayed := uint64(0)
	for _, h := range append(hosts, hub) {
		relayed += counted(h, func(name string) bool { return name == "node_relay_forwarded" })
	}
	if relayed < 2*8<<20/1200 {
		t.Errorf("%d datagrams were relayed, want those of two transfers at least", relayed)
	}
}

// "A host that has IPv6 only and one that has IPv4 only" reach each other through one that has both.
//
//	a: web ══ IPv6 ══ hub ══ IPv4 ══ NAT ── b: db
func TestRelayBetweenFamilies(t *testing.T) {
	l := newLab(t)
	hub := l.Hosts("hub")[0]
	a, b := l.HostIPv6("a"), l.HostBehind(lab.FullCone, "b")
	mesh(t, "mesh", hub, a, b)
	goes(a, b, "via hub")
	allReach(t, a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"}))
}

// "The path moves to a relay when the direct one dies, and back when it works again": a TCP connection between containers lives on.
//
//	a: web ══ underlay ══ b: db
//	           ║ hub
func TestPathMovesUnderTCP(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("hub", "a", "b")
	hub, a, b := hosts[0], hosts[1], hosts[2]
	mesh(t, "mesh", hub, a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	web.Reaches(db, waitMesh)
	goes(a, b, "direct")

	ln, err := db.Listen(db.IPv4())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	got := sha256.New()
	arrived := make(chan error, 1)
	go func() { arrived <- receive(ctx, ln, got) }()
	conn, err := web.Dial(ctx, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done, sent := make(chan struct{}), make(chan [sha256.Size]byte, 1)
	go func() { sent <- trickle(t, conn, done) }()

	l.Apart(a, b)
	goes(a, b, "via hub")
	l.Heal()
	goes(a, b, "direct")
	close(done)
	want := <-sent
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-arrived; err != nil {
		t.Errorf("the connection did not live on: %v", err)
	}
	if [sha256.Size]byte(got.Sum(nil)) != want {
		t.Error("what arrived is not what was sent")
	}
	if _, err := transfer(web, db, db.IPv4(), 8<<20); err != nil {
		t.Errorf("TCP afterwards: %v", err)
	}
}

// trickle sends 16 KiB every 20 ms until done is closed, and returns the hash of all.
func trickle(t *testing.T, conn net.Conn, done <-chan struct{}) (sum [sha256.Size]byte) {
	hash, random := sha256.New(), rand.NewChaCha8([32]byte{1})
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	conn.SetWriteDeadline(time.Now().Add(80 * time.Second))
	for {
		select {
		case <-done:
			return [sha256.Size]byte(hash.Sum(nil))
		case <-ticker.C:
		}
		if _, err := io.CopyN(io.MultiWriter(conn, hash), random, 16<<10); err != nil {
			t.Errorf("sending: %v", err)
			return sum
		}
	}
}
