package e2e

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// An LXC container on host A and a CNI container on host B, which had never heard of each other, ping each other over
// an encrypted mesh, and a third host joins by one command.
//
//	a: web (LXC) ── meshd ══╗
//	b: db  (CNI) ── meshd ══╬══ underlay, captured
//	c: cache (LXC)─ meshd ══╝   c is told the endpoint of a only
func TestMainJob(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	seen := l.Capture()

	a.StartMeshd()
	b.StartMeshd()
	created := a.Try("meshctl", "network", "create", "mesh")
	token := strings.TrimSuffix(created.Stdout, "\n")
	if created.Code != 0 || token == "" || strings.ContainsAny(token, " \n\t") {
		t.Fatalf("meshctl network create: exit %d, stdout %q, stderr %q; want the token alone", created.Code, created.Stdout, created.Stderr)
	}
	b.Output("meshctl", "network", "join", token)
	web := a.LXC(lab.LXC{Name: "web"})
	b.WriteCNI("mesh", "1.1.0", "")
	db := b.CNI("mesh", "db")
	web.Reaches(db, waitMesh)

	c.StartMeshd()
	c.Output("meshctl", "network", "join", token)
	cache := c.LXC(lab.LXC{Name: "cache", Hook: lab.HookEmpty, Version: 1})
	meshed(t, hosts...)
	allReach(t, web, db, cache)
	lists(t, hosts, web, dbLease(t, b, db), cache)

	wantDirect(t, c, b)
	wantDirect(t, b, c)
	wantCiphertext(t, seen, web, db, cache)
}

// dbLease returns the container of a CNI attachment under the name that it has in leases: cnitool makes up an ID.
func dbLease(t *testing.T, h *lab.Host, c *lab.Container) *lab.Container {
	t.Helper()
	named := *c
	for _, l := range leases(h) {
		if l.Local && slices.Contains(l.Addresses, c.Addr()) {
			named.Name = l.Container
			return &named
		}
	}
	t.Fatalf("%s has no lease for %v: %s", h.Name, c.Addr(), h.Output("meshctl", "leases"))
	return nil
}

// wantDirect checks: C joined knowing only A; B learned C by itself.
func wantDirect(t *testing.T, h, other *lab.Host) {
	t.Helper()
	want := netip.AddrPortFrom(other.IPv4, 7000)
	want6 := netip.AddrPortFrom(other.IPv6, 7000)
	for _, p := range peers(h) {
		if p.Name != other.Name {
			continue
		}
		if p.State != api.PeerUp || p.Endpoint != want && p.Endpoint != want6 {
			t.Errorf("%s has peer %s %s at %v, want up at %v or %v", h.Name, p.Name, p.State, p.Endpoint, want, want6)
		}
		return
	}
	t.Errorf("%s does not know %s:\n%s", h.Name, other.Name, h.Output("meshctl", "peers"))
}

// wantCiphertext checks: a capture of the underlay shows no plaintext. Names, payload, MACs and addresses of the
// containers are plaintext.
func wantCiphertext(t *testing.T, seen *lab.Capture, containers ...*lab.Container) {
	t.Helper()
	packets := seen.Stop()
	sealed := 0
	for _, p := range packets {
		if p.Src.Port() == 7000 && p.Dst.Port() == 7000 {
			sealed++
		}
	}
	if sealed < 20 {
		t.Errorf("the capture has %d datagrams between the daemons; it cannot prove anything", sealed)
	}
	secrets := map[string][]byte{"the payload of a ping": lab.Plaintext(), "the network's name": []byte("mesh\x00")}
	for _, c := range containers {
		secrets["the IPv6 address of "+c.Name] = c.Addr().AsSlice()
		secrets["the IPv4 address of "+c.Name+" in text"] = []byte(c.IPv4().String()) // four bytes are found by chance
		secrets["the name of "+c.Name+" in JSON"] = []byte(`"` + c.Name + `"`)
	}
	for what, secret := range secrets {
		for _, p := range packets {
			if bytes.Contains(p.Frame, secret) {
				t.Errorf("%s is readable on the underlay, in a datagram %v to %v", what, p.Src, p.Dst)
				break
			}
		}
	}
}
