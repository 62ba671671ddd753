package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

func (d *daemon) IPAM(context.Context, string) ([]api.IPAM, error) {
	web, db, old := strings.Repeat("ab", 32), strings.Repeat("cd", 32), strings.Repeat("ef", 32)
	block := func(prefix string) netip.Prefix { return netip.MustParsePrefix(prefix) }
	address := func(a string) token.Range { return token.RangeOf(netip.PrefixFrom(netip.MustParseAddr(a), 32)) }
	return []api.IPAM{{
		Network: "home", Engine: "raft", Role: api.IPAMVoter, Leader: "db-1", Voters: []string{"db-1", "old-1", "web-1"}, Copies: []string{"web-2"},
		LastContact: now().Add(-4 * time.Second), Registry: "101112131415161718191a1b1c1d1e1f", Created: began(), Creator: "web-1", Generation: 1, DeadAfter: api.Duration(72 * time.Hour),
		Pools: []api.PoolUse{
			{
				Pool:      api.Pool{Prefix: token.DefaultPool(), BlockBits: 26, Gateway: netip.MustParseAddr("10.77.0.1")},
				Addresses: 65517, Owned: 190, Leased: 73, Reserved: 16, Blocks: 1024, OwnedBlocks: 3, CoolingBlocks: 1, FreeBlocks: 1020,
			},
			{
				Pool:      api.Pool{Prefix: block("10.78.0.0/24"), BlockBits: 28, Gateway: netip.MustParseAddr("10.78.0.1")},
				Addresses: 253, Owned: 253, Leased: 253, Blocks: 16, OwnedBlocks: 16,
			},
		},
		Nodes: []api.NodeUse{
			{Name: "db-1", ID: db, State: api.PeerUp, Epoch: 1, Refreshed: now().Add(-70 * time.Second), Blocks: 1, Addresses: 64, Leased: 64},
			{Name: "old-1", ID: old, State: api.PeerDown, Epoch: 1, Refreshed: began(), Removed: true},
			{Name: "web-1", ID: web, Local: true, State: api.PeerUp, Epoch: 2, Refreshed: now().Add(-3 * time.Second), Blocks: 2, Addresses: 126, Leased: 9},
		},
		Blocks: []api.BlockUse{
			{Prefix: block("10.77.0.0/26"), Pool: token.DefaultPool(), State: api.BlockOwned, Node: "web-1", NodeID: web, Epoch: 2, Since: began(), Addresses: 62, Leased: 9},
			{Prefix: block("10.77.0.64/26"), Pool: token.DefaultPool(), State: api.BlockOwned, Node: "db-1", NodeID: db, Epoch: 1, Since: began(), Addresses: 64, Leased: 64},
			{Prefix: block("10.77.0.128/26"), Pool: token.DefaultPool(), State: api.BlockCooling, Node: "old-1", NodeID: old, Epoch: 1, Until: now().Add(42 * time.Minute), Addresses: 64},
			{Prefix: block("10.77.1.0/26"), Pool: token.DefaultPool(), State: api.BlockOwned, Node: "web-1", NodeID: web, Epoch: 2, Since: now(), Addresses: 64},
		},
		Claims: []api.AddressClaim{
			{Address: netip.MustParseAddr("10.77.9.9"), Node: "web-1", NodeID: web, Attachment: "dns/eth0"},
			{Address: netip.MustParseAddr("10.77.9.10"), Node: "old-1", NodeID: old, Attachment: "x/eth0", Until: now().Add(42 * time.Minute)},
		},
		Reservations: []api.Reservation{{Addresses: token.RangeOf(block("10.77.4.0/28")), Comment: "printers"}, {Addresses: address("10.77.5.5")}},
	}, {
		Network: "lab", Engine: "etcd", Role: api.IPAMClient, Voters: []string{"192.0.2.1:2379"}, Error: "etcd: 192.0.2.1:2379: connection refused",
		Refusal: "this host was removed from the registry",
		Lost:    []api.Lease{{Network: "lab", Container: "web", IfName: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.9")}}},
	}, {Network: "six", Engine: "none", Role: api.IPAMNone}}, nil
}

func (d *daemon) IPAMCheck(_ context.Context, name string) (api.IPAMCheck, error) {
	r := api.IPAMCheck{Network: name, Pools: 1, Nodes: 3, Blocks: 4, Leases: 73}
	if name != "home" {
		return r, api.Errorf(api.NotFound, "there is no network %q on this host", name)
	}
	r.Violations, r.Skipped = d.violations, d.skipped
	return r, nil
}

func (d *daemon) Reserve(_ context.Context, r api.ReserveRequest) (api.Reservation, error) {
	d.requests = append(d.requests, r)
	return api.Reservation{Addresses: r.Addresses, Comment: r.Comment}, nil
}

func (d *daemon) Release(_ context.Context, r api.ReleaseRequest) (bool, error) {
	d.requests = append(d.requests, r)
	return r.Addresses.First != r.Addresses.Last, nil
}

func (d *daemon) Recover(_ context.Context, name string) (api.Recovered, error) {
	d.requests = append(d.requests, name)
	return api.Recovered{Generation: 2, Lost: []string{"db-1", "db-2"}, Until: now(), Waiting: []string{"web-2"}}, nil
}

func (d *daemon) Adopt(_ context.Context, name string) (api.Adopted, error) {
	d.requests = append(d.requests, name)
	addr := []netip.Addr{netip.MustParseAddr("10.77.0.9"), netip.MustParseAddr("fd00::1")}
	return api.Adopted{Adopted: true, Registry: "aa", Creator: "db-1", Lost: []api.Lease{{Container: "web", IfName: "eth0", Addresses: addr}}}, nil
}

func (d *daemon) RemoveNode(_ context.Context, r api.RemoveNodeRequest) (api.Removed, error) {
	d.requests = append(d.requests, r)
	if !r.Force {
		return api.Removed{}, api.Errorf(api.Conflict, "%s is up", r.Node)
	}
	return api.Removed{Name: r.Node, Blocks: 1, Until: time.Now().Add(time.Hour - time.Second)}, nil
}

// Commands that change addresses ask for what the command line says, and say what they did.
func TestIPAMChanges(t *testing.T) {
	part := token.RangeOf(netip.MustParsePrefix("10.77.0.0/28"))
	single := token.RangeOf(netip.MustParsePrefix("10.77.0.9/32"))
	for _, tt := range []struct {
		line string
		asks any
		says string
	}{
		{"ipam reserve 10.77.0.0/28 --comment printers", api.ReserveRequest{Network: "home", Addresses: part, Comment: "printers"}, "reserved 10.77.0.0/28 in home\n"},
		{"ipam reserve 10.77.0.0-10.77.0.15 home", api.ReserveRequest{Network: "home", Addresses: part}, "reserved 10.77.0.0/28 in home\n"},
		{"ipam release 10.77.0.0/28", api.ReleaseRequest{Network: "home", Addresses: part}, "released 10.77.0.0/28 in home\n"},
		{"ipam release 10.77.0.9 home", api.ReleaseRequest{Network: "home", Addresses: single}, "10.77.0.9 is not reserved in home\n"},
		{"ipam recover home", "home", "home: this host keeps the registry now, generation 2; voters given up: db-1 db-2\n" +
			"  no new blocks before " + now().Local().Format(time.DateTime) + "; hosts go on leasing from those that they have\n" +
			"  and not before these are heard, or removed (meshctl node remove): web-2\n"},
		{"ipam adopt home", "home", "home: this host has joined registry aa of db-1\n  web/eth0 lost 10.77.0.9; detach it and attach it again\n"},
		{"node remove db-1 --force", api.RemoveNodeRequest{Network: "home", Node: "db-1", Force: true}, "removed db-1 from home: 1 block to be free in 59m"},
	} {
		d := new(daemon)
		start(t, d)
		code, stdout, stderr := meshctl("", tt.line)
		if code != exitDone || stderr != "" || !strings.HasPrefix(stdout, tt.says) {
			t.Errorf("meshctl %s: exit %d, stdout %q, stderr %q, want %q", tt.line, code, stdout, stderr, tt.says)
		}
		if !reflect.DeepEqual(d.requests, []any{tt.asks}) {
			t.Errorf("meshctl %s asked %+v, want %+v", tt.line, d.requests, tt.asks)
		}
	}
}

// In the older registry already, adopt changes nothing. Nor is anything lost then.
func TestAdopted(t *testing.T) {
	var out strings.Builder
	c := &cli{stdout: &out}
	if err := c.adopted("home", api.Adopted{Registry: "aa", Creator: "db-1"}); err != nil || out.String() != "home: this host is in registry aa of db-1\n" {
		t.Errorf("adopted printed %q, %v", out.String(), err)
	}
}

// "NAME may be left out if there is only one."
func TestOnlyNetwork(t *testing.T) {
	for _, tt := range []struct {
		more []api.Network
		code int
		says string
	}{{nil, exitDone, ""}, {[]api.Network{{Name: "lab"}}, exitUsage, "several networks (home, lab); say which"}} {
		start(t, &daemon{more: tt.more})
		if code, _, stderr := meshctl("", "ipam reserve 10.77.0.9"); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("ipam reserve with %d more networks: exit %d, stderr %q, want %d and %q", len(tt.more), code, stderr, tt.code, tt.says)
		}
	}
}

// "Print every violation. Exit with 1 if there is one, or if something could not be compared."
func TestIPAMCheck(t *testing.T) {
	const head = "home: 1 pool, 3 hosts, 4 blocks, 73 leases: "
	for _, tt := range []struct {
		name           string
		d              daemon
		code           int
		stdout, stderr string
	}{
		{"sound", daemon{}, exitDone, head + "no violation\n", ""},
		{"violations", daemon{violations: []api.Violation{{Rule: "address-twice", Text: "10.77.0.9 is held by a and b"}, {Rule: "x", Text: "y"}}},
			exitFailed, head + "2 violations\n  address-twice: 10.77.0.9 is held by a and b\n  x: y\n", "meshctl: 2 violations\n"},
		{"skipped", daemon{skipped: []string{"db-1 does not answer"}}, exitFailed, head + "no violation\n  not checked: db-1 does not answer\n",
			"meshctl: not everything could be checked\n"},
	} {
		start(t, &tt.d)
		for _, line := range []string{"ipam check", "ipam check home"} {
			code, stdout, stderr := meshctl("", line)
			if code != tt.code || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("%s: meshctl %s: exit %d, stdout %q, stderr %q, want %d, %q, %q", tt.name, line, code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		}
		if code, stdout, _ := meshctl("", "ipam check --json"); code != tt.code || !strings.HasPrefix(stdout, "{\n  \"checks\": [") {
			t.Errorf("%s: ipam check --json: exit %d, stdout %q", tt.name, code, stdout)
		}
	}
}

// What create and join say of pools and etcd reaches meshd with absolute paths.
func TestPoolFlags(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("url", []byte("etcds://u:p@e/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pools, err := token.ParsePools([]string{"10.1.0.0/16", "10.2.0.0/16"}, 27, []string{"10.2.0.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line string
		asks any
	}{
		{"network create home", api.CreateRequest{Name: "home"}},
		{"network create home --ipv4 none", api.CreateRequest{Name: "home", IPv4None: true}},
		{"network create home --pool 10.1.0.0/16 --pool 10.2.0.0/16 --block-bits 27 --exclude 10.2.0.0/24 --force",
			api.CreateRequest{Name: "home", Pools: pools, Force: true}},
		{"network create home --ipam raft", api.CreateRequest{Name: "home", IPAM: "raft"}},
		{"network create home --ipam etcd://e?ca=ca.pem",
			api.CreateRequest{Name: "home", IPAM: token.IPAM{Endpoints: []string{"e:2379"}, TLS: true, CA: filepath.Join(dir, "ca.pem")}.URL()}},
		{"network create home --ipam-file url", api.CreateRequest{Name: "home", IPAM: "etcds://u:p@e:2379/x"}},
		{"network join " + home.String() + " --ipam-file url --force", api.JoinRequest{Token: home.String(), IPAM: "etcds://u:p@e:2379/x", Force: true}},
	} {
		d := new(daemon)
		start(t, d)
		if code, _, stderr := meshctl("", tt.line); code != exitDone || !reflect.DeepEqual(d.requests, []any{tt.asks}) {
			t.Errorf("meshctl %s: exit %d, stderr %q, asked %+v\nwant %+v", tt.line, code, stderr, d.requests, tt.asks)
		}
	}
}

func TestWantedIPv4(t *testing.T) {
	for _, tt := range []struct{ ip, ipv4, want string }{{"", "", ""}, {"10.77.0.9", "", "10.77.0.9"}, {"", "none", "none"}} {
		if got, err := wantedIPv4(tt.ip, tt.ipv4); got != tt.want || err != nil {
			t.Errorf("wantedIPv4(%q, %q) = %q, %v, want %q", tt.ip, tt.ipv4, got, err, tt.want)
		}
	}
}

// "A bar looks full only if it is", and a part that is not 0 can be seen.
func TestBar(t *testing.T) {
	for _, tt := range []struct {
		total int
		parts []int
		want  string
	}{
		{10, []int{0}, "··········"}, {10, []int{3, 2, 1}, "███▒▒░····"}, {10, []int{10}, "██████████"}, {0, []int{0}, "··········"},
		{65536, []int{1}, "█·········"}, {65536, []int{65535}, "█████████·"}, {65536, []int{1, 1, 1}, "█▒░·······"},
		{65536, []int{65533, 1, 1}, "███████▒░·"}, {3, []int{1, 1, 1}, "████▒▒▒░░░"}, {100, []int{0, 100}, "▒▒▒▒▒▒▒▒▒▒"},
		{10, []int{12}, "██████████"}, {10, []int{8, -3}, "████████··"},
	} {
		got := bar(10, tt.total, tt.parts...)
		if got != tt.want || utf8.RuneCountInString(got) != 10 {
			t.Errorf("bar of %v of %d = %s, want %s", tt.parts, tt.total, got, tt.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		n, total int
		want     string
	}{{0, 0, "0%"}, {0, 9, "0%"}, {1, 65536, "0.1%"}, {1, 8, "12.5%"}, {65535, 65536, "99.9%"}, {8, 8, "100%"}, {9, 8, "100%"}} {
		if got := percent(tt.n, tt.total); got != tt.want {
			t.Errorf("percent(%d, %d) = %s, want %s", tt.n, tt.total, got, tt.want)
		}
	}
}
