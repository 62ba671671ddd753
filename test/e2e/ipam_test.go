package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// created makes a network "mesh" on the first host, as the arguments say, and has the others join it.
func created(t *testing.T, args []string, hosts ...*lab.Host) (token string) {
	t.Helper()
	for _, h := range hosts {
		h.StartMeshd()
	}
	token = hosts[0].Output(append([]string{"meshctl", "network", "create", "mesh"}, args...)...)
	for _, h := range hosts[1:] {
		h.Output("meshctl", "network", "join", token)
	}
	meshed(t, hosts...)
	return token
}

// votes waits until n of the hosts vote in the block registry.
func votes(t *testing.T, n int, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.Within(time.Minute, fmt.Sprintf("%d hosts vote", n), func() bool { return len(blocks(h).Voters) >= n && blocks(h).Leader != "" }, func() string {
			return h.Output("meshctl", "ipam", "show")
		})
	}
}

// blocks is what `meshctl ipam show` says of the network mesh.
func blocks(h *lab.Host) api.IPAM {
	var l api.IPAMList
	h.JSON(&l, "meshctl", "ipam", "show", "mesh", "--json")
	return l.IPAM[0]
}

// owned returns the blocks of a host, as h knows them.
func owned(h *lab.Host, by string) (prefixes []netip.Prefix) {
	for _, b := range blocks(h).Blocks {
		if b.Node == by && b.State == api.BlockOwned {
			prefixes = append(prefixes, b.Prefix)
		}
	}
	return prefixes
}

// lease attaches a container of which there is only the name, by meshd's API, and returns its IPv4 address.
func lease(h *lab.Host, container, ipv4 string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := h.Client()
	defer c.Close()
	a, err := c.Attach(ctx, api.AttachRequest{Network: "mesh", Container: container, IfName: "eth0", AttachOptions: api.AttachOptions{IPv4: ipv4}})
	if err != nil {
		return netip.Addr{}, err
	}
	return ipv4Of(a), nil
}

// ipv4Of returns the IPv4 address of an attachment, or the zero Addr.
func ipv4Of(a api.Attachment) netip.Addr {
	for _, p := range a.Addresses {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// leased is lease for one that has to succeed.
func leased(t *testing.T, h *lab.Host, container, ipv4 string) netip.Addr {
	t.Helper()
	addr, err := lease(h, container, ipv4)
	if err != nil || !addr.IsValid() {
		t.Fatalf("%s: attaching %s: %v, %v", h.Name, container, addr, err)
	}
	return addr
}

// refused is lease for one that cannot work: the error has all of words.
func refused(t *testing.T, h *lab.Host, container, ipv4 string, words ...string) {
	t.Helper()
	addr, err := lease(h, container, ipv4)
	if err == nil {
		t.Errorf("%s: attaching %s with IPv4 %q succeeded: %v; want an error with %q", h.Name, container, ipv4, addr, words)
		return
	}
	wantLine(t, fmt.Sprintf("%s: attaching %s with IPv4 %q", h.Name, container, ipv4), err.Error(), words...)
}

// fill attaches until no address is left, and returns how many there were and the error.
func fill(t *testing.T, h *lab.Host, prefix string) (n int, err error) {
	t.Helper()
	for n < 300 {
		if _, err = lease(h, fmt.Sprint(prefix, n), ""); err != nil {
			return n, err
		}
		n++
	}
	t.Fatalf("%s: %d containers got an address of a small pool", h.Name, n)
	return n, nil
}

// gone waits until h has noticed that another host is.
func gone(t *testing.T, h *lab.Host, name string) {
	t.Helper()
	h.Within(time.Minute, name+" is down", func() bool { return peerState(h, name) == api.PeerDown }, func() string { return h.Output("meshctl", "peers") })
}

// sound waits until `meshctl ipam check` finds nothing to say on any host.
func sound(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.Within(45*time.Second, "meshctl ipam check finds nothing", func() bool { return h.Try("meshctl", "ipam", "check").Code == 0 }, func() string {
			r := h.Try("meshctl", "ipam", "check")
			return r.Stdout + r.Stderr
		})
	}
}

// "With one of three hosts up only (no majority), attach still succeeds until its blocks are used up, then fails with an error that
// says exactly that; after the majority returns it succeeds."
//
//	a ══ underlay ══ b, c: killed, and back
func TestNoMajority(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
	votes(t, 3, hosts...)
	b.Meshd().Kill9()
	c.Meshd().Kill9()
	n, err := fill(t, a, "c")
	if n < 12 || n > 64 {
		t.Errorf("%d attachments without a majority, want those of a few blocks of 16 addresses", n)
	}
	wantLine(t, "attach without a majority when all blocks are used up", err.Error(), "10.99.0.0/24", fmt.Sprintf("%d are leased", n), "no block store", "1 of the 3 voters", "2 are needed")
	b.StartMeshd()
	a.Within(time.Minute, "attach succeeds when the majority is back", func() bool { _, err = lease(a, "again", ""); return err == nil }, func() string {
		return err.Error()
	})
	c.StartMeshd()
	sound(t, hosts...)
}

// "Killing the first host for ever loses nothing." Its blocks cool when it is removed, and are not given to others meanwhile.
//
//	a: made the network, killed for ever ══ underlay ══ b, c, d
func TestFirstHostDies(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c", "d")
	a, b, d := hosts[0], hosts[1], hosts[3]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
	votes(t, 3, hosts...)
	for _, h := range hosts {
		leased(t, h, "before", "")
	}
	b.Until("b knows a block of a", func() bool { return len(owned(b, "a")) > 0 }, nil) // of others' claims a copy hears later
	before := owned(b, "a")
	fails(t, b, 1, []string{"a", "is up", "--force"}, "meshctl", "node", "remove", "a")
	a.Meshd().Kill9()
	for i := range 40 { // more than the blocks that d has
		var err error
		d.Within(time.Minute, "a new block without the first host", func() bool { _, err = lease(d, fmt.Sprint("c", i), ""); return err == nil }, func() string {
			return err.Error()
		})
	}
	gone(t, b, "a")
	b.Output("meshctl", "node", "remove", "a")
	cooling := 0
	for _, use := range blocks(b).Blocks {
		if slices.Contains(before, use.Prefix) && use.State == api.BlockCooling && use.Node == "a" && time.Until(use.Until) > time.Minute {
			cooling++
		}
	}
	if len(before) == 0 || cooling != len(before) {
		t.Errorf("blocks of a after its removal: %d cool, want all of %v:\n%s", cooling, before, b.Output("meshctl", "ipam", "show"))
	}
	fails(t, b, 1, []string{"nope"}, "meshctl", "node", "remove", "nope")
	sound(t, hosts[1:]...)
}

// "The first of two leaves => the second keeps working", and so do two when the first of three leaves: the leader hands over.
//
//	a: made the network, and leaves ══ underlay ══ b, and c or not
func TestFirstHostLeaves(t *testing.T) {
	for _, others := range [][]string{{"b"}, {"b", "c"}} {
		t.Run(fmt.Sprint(1+len(others), " hosts"), func(t *testing.T) {
			l := newLab(t)
			hosts := l.Hosts(append([]string{"a"}, others...)...)
			a, rest := hosts[0], hosts[1:]
			created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
			for _, h := range rest {
				h.Within(time.Minute, "has a copy", func() bool { return blocks(h).Role != api.IPAMClient }, nil)
			}
			if len(hosts) > 2 {
				votes(t, 3, hosts...)
			}
			for _, h := range hosts {
				leased(t, h, "before", "")
			}
			began := time.Now()
			a.Output("meshctl", "network", "leave", "mesh")
			t.Logf("a has left after %v", time.Since(began))
			for _, h := range rest {
				for i := range 40 { // more than its blocks have
					leased(t, h, fmt.Sprint("c", i), "")
				}
				if got := blocks(h); len(got.Voters) != 1 || got.Voters[0] == "a" || got.Generation != 1 || got.Error != "" {
					t.Errorf("%s: voters %v, generation %d, error %q; want one voter that is not a, and nothing recovered", h.Name, got.Voters,
						got.Generation, got.Error)
				}
			}
			sound(t, rest...)
		})
	}
}

// "When it cannot be done the clear refusal stays, --force overrides."
//
//	a: has the only vote ══ underlay ══ b: down when a wants to leave, and back to recover
func TestOnlyVoterCannotLeave(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
	b.Until("b has a copy", func() bool { return blocks(b).Role == api.IPAMCopy }, nil)
	b.Meshd().Kill9()
	fails(t, a, 1, []string{"cannot take over", "--force", "meshctl ipam recover"}, "meshctl", "network", "leave", "mesh")
	leased(t, a, "still", "")
	a.Output("meshctl", "network", "leave", "mesh", "--force")
	b.StartMeshd()
	b.Within(time.Minute, "b recovers the registry", func() bool { return b.Try("meshctl", "ipam", "recover", "mesh").Code == 0 }, func() string {
		return b.Try("meshctl", "ipam", "recover", "mesh").Stderr
	})
	if got := blocks(b); got.Generation != 2 || got.Role != api.IPAMVoter {
		t.Errorf("after recover b is %s in generation %d, want voter in generation 2", got.Role, got.Generation)
	}
}

// "Requested addresses (CNI ips, meshctl attach --ip, LXC lxc.net.0.ipv4.address)", by every way in.
//
//	a: one of each ══ underlay ══ b: db
func TestRequestedAddresses(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	db := b.LXC(lab.LXC{Name: "db"})

	a.Output("ip", "netns", "add", "hand")
	a.Output("meshctl", "attach", "--netns", "/run/netns/hand", "--container", "hand", "--ip", "10.77.9.1")
	a.WriteCNI("args", "1.0.0", `, "args": {"cni": {"ips": ["10.77.9.2"]}}`)
	a.WriteCNI("capability", "1.0.0", `, "capabilities": {"ips": true}`)
	a.Output("ip", "netns", "add", "capable")
	a.Output("env", `CAP_ARGS={"ips": ["10.77.9.3/16"]}`, "cnitool", "add", "capability", "/run/netns/capable")
	asked := []*lab.Container{
		a.NetNS("hand"), a.CNI("args", "argued"), a.NetNS("capable"),
		a.LXC(lab.LXC{Name: "configured", Lines: []string{"lxc.net.0.ipv4.address = 10.77.9.4/16"}}),
		a.LXC(lab.LXC{Name: "hooked", Hook: lab.HookEmpty, HookArgs: "--ipv4 10.77.9.5"}),
	}
	for i, c := range asked {
		if want := netip.AddrFrom4([4]byte{10, 77, 9, byte(i + 1)}); c.IPv4() != want {
			t.Errorf("address of %s = %v, want %v", c.Name, c.IPv4(), want)
		}
		c.Reaches(db, waitMesh)
	}
	again := []string{"meshctl", "attach", "--netns", "/run/netns/hand", "--container", "hand"}
	a.Output(append(again, "--ip", "10.77.9.1")...) // as it is
	fails(t, a, 1, []string{"10.77.9.1", "10.77.9.9", "detach it first"}, append(again, "--ip", "10.77.9.9")...)
	fails(t, a, 1, []string{"10.77.9.1", "detach it first"}, append(again, "--ipv4", "none")...)
	fails(t, a, 1, []string{"nosuch"}, "meshctl", "detach", "--container", "hand", "nosuch")
	a.Output("meshctl", "network", "create", "other", "--pool", "10.98.0.0/24")
	fails(t, a, 1, []string{"hand/eth0", "mesh", "not in other"}, "meshctl", "detach", "--container", "hand", "other")
	asked[0].Reaches(db, waitMesh) // it was left alone
	a.Output("meshctl", "detach", "--container", "hand", "mesh")
	a.Output(append(again, "mesh")...)
	sound(t, hosts...)
}

// "Requested address in use (names the holder), outside, network/broadcast/gateway", and in a block of another host.
//
//	a: first ══ underlay ══ b: db, which is then killed
func TestRefusedAddresses(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b := hosts[0], hosts[1]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28", "--exclude", "10.99.0.240/28"}, hosts...)
	votes(t, 3, hosts...)
	first, db := leased(t, a, "first", ""), leased(t, b, "db", "")
	refused(t, a, "second", first.String(), first.String(), "first", "in use")
	refused(t, a, "second", db.String(), db.String(), "db", "in use", " b")
	refused(t, a, "second", "192.0.2.77", "192.0.2.77", "10.99.0.0/24", "outside")
	refused(t, a, "second", "10.99.0.0", "10.99.0.0", "network")
	refused(t, a, "second", "10.99.0.255", "10.99.0.255", "broadcast")
	refused(t, a, "second", "10.99.0.1", "10.99.0.1", "gateway")
	refused(t, a, "second", "10.99.0.241", "10.99.0.241", "excluded")
	refused(t, a, "first", "10.99.0.9", first.String(), "10.99.0.9", "detach")
	refused(t, a, "second", "10.99.0", "10.99.0")

	theirs := owned(a, "b")[0].Addr().Next().Next().Next()
	if got := leased(t, a, "carved", theirs.String()); got != theirs {
		t.Errorf("address of carved = %v, want %v, which b left to it", got, theirs)
	}
	refused(t, b, "late", theirs.String(), theirs.String(), "carved", "in use", " a")
	sound(t, hosts...)
	b.Meshd().Kill9()
	refused(t, a, "orphan", theirs.Next().String(), theirs.Next().String(), " b")
	leased(t, a, "orphan", "")
}

// "--ipv4 none gives IPv6 only", to a container and to a network.
//
//	a: four containers, three of them without IPv4
func TestIPv4None(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	for _, name := range []string{"two", "one"} {
		a.Output("ip", "netns", "add", name)
	}
	a.Output("meshctl", "attach", "--netns", "/run/netns/one", "--container", "one", "--ipv4", "none")
	a.Output("meshctl", "attach", "--netns", "/run/netns/two", "--container", "two")
	hooked := a.LXC(lab.LXC{Name: "hooked", HookArgs: "--ipv4 none"})
	one, two := a.NetNS("one"), a.NetNS("two")
	for _, c := range []*lab.Container{one, hooked} {
		if got := c.Addrs(); len(got) != 1 || !got[0].Is6() {
			t.Errorf("addresses of %s = %v, want one of IPv6", c.Name, got)
		}
		two.Reaches(c, waitMesh)
	}
	a.Output("meshctl", "network", "create", "six", "--ipv4", "none")
	a.Output("ip", "netns", "add", "three")
	a.Output("meshctl", "attach", "--netns", "/run/netns/three", "--container", "three", "six")
	if got := a.NetNS("three").Addrs(); len(got) != 1 || !got[0].Is6() {
		t.Errorf("addresses in a network without IPv4 = %v, want one of IPv6", got)
	}
	a.Output("ip", "netns", "add", "four")
	fails(t, a, 1, []string{"no IPv4"}, "meshctl", "attach", "--netns", "/run/netns/four", "--container", "four", "--ip", "10.77.0.9", "six")
	a.Output("meshctl", "ipam", "check", "six")
}

// "And by itself after a configurable time dead": the registry knows it, on every host, and refuses what makes no sense.
//
//	a: creates with --dead-after ══ underlay ══ b
func TestDeadAfter(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	a.StartMeshd()
	fails(t, a, 2, []string{"--dead-after", "5m", "15m"}, "meshctl", "network", "create", "mesh", "--dead-after", "5m")
	a.Meshd().Stop()
	created(t, []string{"--dead-after", "36h"}, hosts...)
	leased(t, b, "db", "")
	for _, h := range hosts {
		if got := blocks(h).DeadAfter; time.Duration(got) != 36*time.Hour {
			t.Errorf("%s: hosts are removed after %v, want 36h", h.Name, got)
		}
	}
}

// "Any size from /29 up"; "exhausted pool (error names pool, use and way out)".
//
//	a: a pool of five addresses
func TestSmallestPool(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	fails(t, a, 2, []string{"10.99.0.0/30", "/29"}, "meshctl", "network", "create", "mesh", "--pool", "10.99.0.0/30")
	fails(t, a, 2, []string{"10.99.0.1/29"}, "meshctl", "network", "create", "mesh", "--pool", "10.99.0.1/29")
	fails(t, a, 2, []string{"overlap"}, "meshctl", "network", "create", "mesh", "--pool", "10.99.0.0/24", "--pool", "10.99.0.128/25")
	a.Output("meshctl", "network", "create", "mesh", "--pool", "10.99.0.0/29")
	n, err := fill(t, a, "c")
	if n != 5 {
		t.Errorf("%d containers got an address of a /29, want 5: not network, broadcast and gateway", n)
	}
	wantLine(t, "attach when the pool is exhausted", err.Error(), "10.99.0.0/29", "5 are leased", "no free block", "remove nodes")
	if got := len(leases(a)); got != 5 {
		t.Errorf("leases = %d, want 5: the one that was refused has left something", got)
	}
	sound(t, a)
}

// "Pools overlapping the host's own routes and addresses (warn with the conflicting route, refuse without --force)"; "two networks
// with the same pool on one host".
//
//	a: its own route to 10.99.0.0/16, and two networks ══ underlay ══ b: one of the two
func TestOverlappingPools(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	a.StartMeshd()
	b.StartMeshd()
	a.Output("ip", "route", "add", "10.99.0.0/16", "dev", "eth0")
	create := []string{"meshctl", "network", "create", "mesh", "--pool", "10.99.4.0/24"}
	fails(t, a, 1, []string{"10.99.4.0/24", "10.99.0.0/16", "eth0", "--force"}, create...)
	fails(t, a, 1, []string{"192.0.2.0/24", "eth0", "--force"}, "meshctl", "network", "create", "mesh", "--pool", "192.0.2.0/24")
	token := b.Output(create...)
	join := []string{"meshctl", "network", "join", token}
	fails(t, a, 1, []string{"10.99.4.0/24", "10.99.0.0/16", "eth0", "--force"}, join...)
	if got := status(a).Networks; len(got) != 0 {
		t.Errorf("networks of a after what was refused = %+v, want none", got)
	}
	a.Output(append(join, "--force")...)
	a.Output("ip", "route", "del", "10.99.0.0/16", "dev", "eth0")
	meshed(t, a, b)

	other := []string{"meshctl", "network", "create", "other", "--pool", "10.99.0.0/16", "--bridge", "other0"}
	fails(t, a, 1, []string{"10.99.0.0/16", "10.99.4.0/24", "mesh", "--force"}, other...)
	a.Output(append(other, "--force")...)
	all := []*lab.Container{a.LXC(lab.LXC{Name: "web", HookArgs: "--network mesh"}), b.LXC(lab.LXC{Name: "db"})}
	allReach(t, all...)
	a.LXC(lab.LXC{Name: "elsewhere", HookArgs: "--network other"})
	a.Output("meshctl", "ipam", "check", "mesh")
	a.Output("meshctl", "ipam", "check", "other")
}

// Addresses that are reserved are not leased, and are again when they are released; `ipam show --json` has it all.
//
//	a: has a block, of which four addresses are reserved ══ underlay ══ b
func TestReserve(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
	a.Until("a has a block", func() bool { return len(owned(a, "a")) > 0 }, nil)
	printer := owned(a, "a")[0].Addr().Next().Next().Next()
	four := printer.String() + "-" + printer.Next().Next().Next().String()
	a.Output("meshctl", "ipam", "reserve", four, "--comment", "printers")
	b.Output("meshctl", "ipam", "reserve", "10.99.0.254")
	refused(t, a, "printer", printer.String(), printer.String(), "reserved", "printers")
	refused(t, b, "printer", printer.String(), printer.String(), "reserved", "printers")
	for _, h := range hosts {
		use := blocks(h)
		if len(use.Reservations) != 2 || len(use.Pools) != 1 || use.Pools[0].Reserved != 5 {
			t.Errorf("%s: reservations = %+v, pools %+v; want two of five addresses", h.Name, use.Reservations, use.Pools)
		}
		if local := slices.IndexFunc(use.Nodes, func(n api.NodeUse) bool { return n.Local }); local < 0 || use.Nodes[local].Name != h.Name {
			t.Errorf("%s: hosts = %+v, want this host among them, marked as local", h.Name, use.Nodes)
		}
	}
	fails(t, a, 1, []string{"10.98.0.1"}, "meshctl", "ipam", "reserve", "10.98.0.1")
	fails(t, a, 2, []string{"printer"}, "meshctl", "ipam", "reserve", "printer")
	a.Output("meshctl", "ipam", "release", four)
	a.Output("meshctl", "ipam", "release", "10.99.0.254")
	a.Output("meshctl", "ipam", "release", "10.99.0.254") // nothing to do is no failure
	if got := leased(t, a, "printer", printer.String()); got != printer {
		t.Errorf("address after the release = %v, want %v", got, printer)
	}
	sound(t, hosts...)
}

// "When a majority is lost for good: meshctl ipam recover on a surviving copy."
//
//	a: survives ══ underlay ══ b, c: lost, given up, and back when nobody hoped for it
func TestRecover(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28"}, hosts...)
	votes(t, 3, hosts...)
	taken := []netip.Addr{leased(t, b, "db", ""), leased(t, c, "cache", "")}
	fails(t, a, 1, []string{"nothing to recover"}, "meshctl", "ipam", "recover", "mesh")
	b.Meshd().Kill9()
	c.Meshd().Kill9()
	fill(t, a, "c")
	wantLine(t, "recover", a.Output("meshctl", "ipam", "recover", "mesh"), "no new blocks before", " b c")
	if got := blocks(a).Generation; got < 2 {
		t.Errorf("generation after the recovery = %d, want at least 2", got)
	}
	refused(t, a, "early", "", "recover", " b ", " c ") // what they use is not known yet
	b.StartMeshd()                                      // they come back after all
	c.StartMeshd()
	meshed(t, hosts...)
	b.Within(time.Minute, "b follows the recovered registry", func() bool { return blocks(b).Generation == blocks(a).Generation }, func() string {
		return b.Output("meshctl", "ipam", "show")
	})
	if got := leased(t, b, "db", ""); got != taken[0] {
		t.Errorf("address of db after the return of b = %v, was %v", got, taken[0])
	}
	leased(t, b, "more", "")                                    // of the block that it has
	a.Within(time.Minute, "both have been heard", func() bool { // hosts that the copy did not know of may come until then
		_, err := lease(a, "late", "")
		return err == nil || strings.Contains(err.Error(), "until "+time.Now().UTC().Format("2006-01-02"))
	}, nil)
	sound(t, hosts...)
}

// "Two hosts that both created the same network (same name and PSK in a configuration file): detected on first contact, frames flow
// on, IPv4 claims of the younger stop with an error that names both, and one command joins it to the older without a duplicate."
//
//	a: create = true, web ══ underlay ══ b: create = true, db
func TestCreatedTwice(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	psk := a.Output("meshctl", "genkey")
	l.Partition(b)
	a.StartMeshd("--config", writeConfig(a, psk, true, b.Endpoint()))
	a.Until("a has a registry", func() bool { return blocks(a).Registry != "" }, func() string { return a.Output("meshctl", "ipam", "show") })
	web := a.LXC(lab.LXC{Name: "web"})
	a.Until("the second in which a created it is over", func() bool { return time.Now().Unix() > blocks(a).Created.Unix() }, nil)
	b.StartMeshd("--config", writeConfig(b, psk, true, a.Endpoint()))
	b.Until("b has a registry", func() bool { return blocks(b).Registry != "" }, func() string { return b.Output("meshctl", "ipam", "show") })
	db := b.LXC(lab.LXC{Name: "db"})
	older := blocks(a).Registry
	if older == blocks(b).Registry {
		t.Fatalf("both hosts made registry %s", older)
	}
	l.Heal()
	meshed(t, a, b)
	web.Reaches(db, waitMesh)
	db.Reaches(web, waitMesh)

	var err error
	i := 0
	b.Within(30*time.Second, "the younger leases no more", func() bool { i++; _, err = lease(b, fmt.Sprint("c", i), ""); return err != nil }, nil)
	wantLine(t, "attach on the younger", err.Error(), " a", "b", "registry", "meshctl ipam adopt")
	leased(t, a, "more", "")
	if out := b.Output("meshctl", "ipam", "adopt", "mesh"); !strings.Contains(out, "c1") { // "they are listed"
		t.Errorf("adopt says %q, want the containers that lost their addresses, c1 among them", out)
	}
	if got := blocks(b); got.Registry != older || got.Refusal != "" {
		t.Errorf("after adopt b is in registry %s (%q), want %s", got.Registry, got.Refusal, older)
	}
	b.StopLXC("db")
	db = b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)
	if r := b.Try("meshctl", "ipam", "adopt", "mesh"); r.Code != 0 {
		t.Errorf("adopt again: exit %d: %s", r.Code, r.Stderr)
	}
	for j := range i {
		b.Output("meshctl", "detach", "--container", fmt.Sprint("c", j+1))
	}
	sound(t, hosts...)
}

// A host whose state directory is put back to an old copy, after it was removed, "cannot use what it no longer owns: it must notice and
// say so".
//
//	a, b, c ══ underlay; b is removed and comes back as it was
func TestOldState(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	votes(t, 3, a)
	addr := leased(t, b, "db", "")
	b.Meshd().Stop()
	copyState(t, b, b)
	b.StartMeshd()
	leased(t, b, "later", "")
	b.Meshd().Kill9()
	gone(t, a, "b")
	a.Output("meshctl", "node", "remove", "b")
	b.StartMeshd("--state", "/var/lib/meshnet/copy")
	b.Within(30*time.Second, "b finds that it was removed and says so", func() bool {
		return slices.ContainsFunc(blocks(b).Lost, func(l api.Lease) bool { return l.Container == "db" }) &&
			strings.Contains(fmt.Sprint(status(b).Networks[0].Warnings), addr.String())
	}, func() string { return b.Output("meshctl", "ipam", "show") + b.Output("meshctl", "status") })
	t.Logf("%s", status(b).Networks[0].Warnings)
	b.Output("meshctl", "detach", "--container", "db")
	if got := leased(t, b, "db", ""); got == addr {
		t.Errorf("address of db after b was removed = %v, as before, although its block cools", got)
	}
	sound(t, hosts...)
}

// "A node ID that appears twice": the later start has the blocks, and the earlier one "must notice and say so": it leases no more.
//
//	a, b ══ underlay ══ c: a copy of b
func TestClonedState(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b, c := hosts[0], hosts[1], hosts[2]
	mesh(t, "mesh", a, b)
	leased(t, b, "db", "")
	b.Meshd().Stop()
	copyState(t, b, c)
	b.StartMeshd()
	meshed(t, a, b)
	c.StartMeshd("--state", "/var/lib/meshnet/copy")
	var err error
	i := 0
	b.Within(time.Minute, "the one that started first leases no more", func() bool {
		i++
		time.Sleep(time.Second)
		_, err = lease(b, fmt.Sprint("b", i), "")
		return err != nil
	}, func() string { return b.Output("meshctl", "status") + c.Output("meshctl", "ipam", "show") })
	wantLine(t, "attach on the older of two with one identity", err.Error(), "identity")
	leased(t, c, "cache", "")
}

// A member of three of the etcd that keeps the blocks is killed, and nobody notices.
//
//	a, b ══ underlay ══ e1, e2, e3: etcd-server
func TestEtcd(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "e1", "e2", "e3")
	a, b := hosts[0], hosts[1]
	etcd := l.StartEtcd(hosts[2:]...)
	var endpoints []string
	for _, m := range etcd {
		endpoints = append(endpoints, m.Endpoint)
	}
	created(t, []string{"--pool", "10.99.0.0/24", "--block-bits", "28", "--ipam", "etcd://" + strings.Join(endpoints, ",")}, a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)
	if got := blocks(a); got.Engine != "etcd" || got.Role != api.IPAMClient || len(got.Voters) != 3 {
		t.Errorf("engine %s, role %s, voters %v; want etcd, client and three endpoints", got.Engine, got.Role, got.Voters)
	}
	etcd[0].Signal(syscall.SIGKILL)
	<-etcd[0].Done()
	for i := range 40 { // more than the blocks that they have
		leased(t, a, fmt.Sprint("a", i), "")
		leased(t, b, fmt.Sprint("b", i), "")
	}
	a.Meshd().Kill9()
	a.StartMeshd()
	leased(t, a, "after", "")
	sound(t, a, b)

	etcd[1].Signal(syscall.SIGKILL) // no majority
	<-etcd[1].Done()
	_, err := fill(t, a, "x")
	wantLine(t, "attach without etcd when all blocks are used up", err.Error(), "10.99.0.0/24", "leased", "no block store")
	etcd[1].Restart()
	a.Within(time.Minute, "attach succeeds when etcd is back", func() bool { _, err = lease(a, "again", ""); return err == nil }, func() string {
		return err.Error()
	})
	sound(t, a, b)
}

// copyState copies the state directory of from's meshd to /var/lib/meshnet/copy on to, as a disk image or a backup does.
func copyState(t *testing.T, from, to *lab.Host) {
	t.Helper()
	state := filepath.Join(from.Dir, "state")
	if err := os.CopyFS(filepath.Join(to.Dir, "state", "copy", "networks"), os.DirFS(filepath.Join(state, "networks"))); err != nil {
		t.Fatal(err)
	}
}

// "Raft log corrupt": the host says which directory it is and the way out, and its containers and the other hosts go on.
//
//	a, c ══ underlay ══ b: a byte of its copy of the registry is flipped while meshd is down
func TestCorruptRegistry(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b", "c")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", hosts...)
	votes(t, 3, hosts...)
	addr := leased(t, b, "db", "")
	b.Meshd().Stop()
	dir := "/var/lib/meshnet/networks/mesh/raft"
	for file := range strings.Lines(b.Output("find", dir, "-type", "f", "-size", "+4k")) {
		path := b.Path(strings.TrimSpace(file))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(content); i += 512 {
			content[i] ^= 0xff
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.StartMeshd()
	b.Until("b says that its copy is corrupt, and the way out", func() bool {
		out := b.Output("meshctl", "status") + b.Try("meshctl", "ipam", "show").Stdout
		return strings.Contains(out, dir) && strings.Contains(out, "corrupt") && strings.Contains(out, "move that directory away")
	}, func() string { return b.Output("meshctl", "status") + b.Output("meshctl", "ipam", "show") })
	leased(t, a, "web", "")
	b.Meshd().Stop()
	b.Output("mv", dir, dir+".corrupt")
	b.StartMeshd()
	meshed(t, hosts...)
	if got := leased(t, b, "db", ""); got != addr {
		t.Errorf("address of db after the copy was moved away = %v, was %v", got, addr)
	}
	leased(t, b, "more", "")
	sound(t, hosts...)
}
