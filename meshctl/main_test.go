package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// home is the network of the fake daemon.
var home = token.Token{
	Name: "home", NetworkID: [16]byte{1}, PSK: [32]byte{2}, MTU: 1500, IPv6: netip.MustParsePrefix("fd12:3456:789a::/48"),
	Endpoints: []string{"192.0.2.1:7000"},
}

// began is the fake daemon's start, at the age that the tables show.
func began() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// now is the time that tables count from.
func now() time.Time { return began().Add(26*time.Hour + 3*time.Minute) }

// daemon is an api.Backend that knows network home.
type daemon struct {
	requests    []any
	attachments []api.Attachment
	violations  []api.Violation // that a check finds
	skipped     []string        // that it cannot compare
	more        []api.Network   // beside home
}

func network() api.Network {
	return api.Network{
		Name: "home", ID: "0102030405060708090a0b0c0d0e0f10", State: api.NetworkUp, NodeID: strings.Repeat("ab", 32),
		NodeName: "web-1", Bridge: "mesh0", BridgeOwned: true, DHCP: "open", Egress: "nat", TAP: "mt01020304",
		DNS: api.DNS{
			Domain: "home.mesh", Servers: []netip.Addr{netip.MustParseAddr("fd12:3456:789a::1"), netip.MustParseAddr("10.77.0.1")},
			Resolvers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		},
		Offloads: []api.Offload{{Name: "tap-checksum", On: true}, {Name: "tap-tso", On: true}, {Name: "tap-uso", Why: "the kernel is older than Linux 6.2"}},
		MTU:      1500, IPv6: home.IPv6, Created: true,
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("[2001:db8::1]:7000")},
		Peers:     api.PeerCount{Up: 1, Total: 2}, Attachments: 2, Leases: 3, RXBytes: 123456, TXBytes: 9876543210,
		Pools: []api.Pool{{Prefix: token.DefaultPool(), BlockBits: 26}, {Prefix: netip.MustParsePrefix("10.78.0.0/24")}}, IPAM: "raft",
	}
}

// answers are counters of what containers asked.
func answers() map[string]uint64 {
	return map[string]uint64{"answer_arp_answered": 12, "answer_nd_answered": 0, "answer_rs_answered": 1, "answer_dhcp4_answered": 4,
		"dns_answered": 5, "dns_empty": 1, "dns_unknown": 2, "dns_forwarded": 3}
}

func (d *daemon) Status(context.Context) (api.Status, error) {
	failed := api.Network{
		Name: "lab", State: api.NetworkFailed, Error: "bridge lxcbr0 does not exist", Bridge: "lxcbr0", MTU: 1400,
		IPv6: netip.MustParsePrefix("fd00::/48"), DNS: api.DNS{Domain: "lab.mesh", Off: "this host is no gateway that containers could ask (--egress nat)"},
	}
	up := network()
	up.Counters = answers()
	up.Warnings = []string{"the clocks of this host and 192.0.2.9:7000 differ by 11m0s"}
	return api.Status{
		Version: "0.1", Instance: 1, Started: began(), NodeName: "web-1", Networks: []api.Network{up, failed},
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:7000"), netip.MustParseAddrPort("[::]:7000")},
		Offloads: []api.Offload{{Name: "udp-gso", On: true}, {Name: "udp-gro", On: true}, {Name: "aes", On: true}},
	}, nil
}

func (d *daemon) Networks(context.Context) ([]api.Network, error) {
	return append([]api.Network{network()}, d.more...), nil
}

func (d *daemon) Network(_ context.Context, name string) (api.Network, error) {
	if name != "home" {
		return api.Network{}, api.Errorf(api.NotFound, "there is no network %q on this host", name)
	}
	return network(), nil
}

func (d *daemon) Ready(_ context.Context, name string) (api.Readiness, error) {
	return api.Readiness{Network: name, State: api.NetworkUp}, nil
}

func (d *daemon) Create(_ context.Context, r api.CreateRequest) (api.Created, error) {
	d.requests = append(d.requests, r)
	return api.Created{Network: network(), Token: home.String()}, nil
}

func (d *daemon) Join(_ context.Context, r api.JoinRequest) (api.Network, error) {
	d.requests = append(d.requests, r)
	return network(), nil
}

func (d *daemon) Update(_ context.Context, r api.UpdateRequest) (api.Network, error) {
	d.requests = append(d.requests, r)
	n := network()
	if r.Bridge != nil {
		n.Bridge = *r.Bridge
	}
	return n, nil
}

func (d *daemon) Leave(context.Context, string, bool) error { return nil }

func (d *daemon) Token(_ context.Context, _ string, endpoints []string) (string, error) {
	t := home
	if len(endpoints) > 0 {
		t.Endpoints = endpoints
	}
	return t.String(), nil
}

func (d *daemon) Peers(context.Context, string) ([]api.Peer, error) {
	return []api.Peer{
		{
			Network: "home", Name: "db-1", ID: strings.Repeat("cd", 32), State: api.PeerUp, Since: began(),
			Path: "direct", Endpoint: netip.MustParseAddrPort("[2001:db8::2]:7000"), PathMTU: 1500, Established: began().Add(26 * time.Hour),
			LastReceived: now().Add(-4 * time.Second), RXBytes: 1 << 20, TXBytes: 2000, Attachments: 1, Instance: 7,
		},
		{
			Network: "home", Name: "lap-1", ID: strings.Repeat("de", 32), State: api.PeerUp, Since: began(), Path: "via db-1",
			Established: began().Add(25 * time.Hour), LastReceived: now().Add(-time.Second), RXBytes: 300, TXBytes: 400, Instance: 9,
		},
		{
			Network: "home", Name: "db\x1b[31m", ID: strings.Repeat("ef", 32), State: api.PeerDown,
			Warnings: []string{"two hosts are called db-1"},
		},
	}, nil
}

func (d *daemon) Leases(context.Context, string) ([]api.Lease, error) {
	return []api.Lease{
		{
			Network: "home", Container: "db", IfName: "eth0", MAC: api.MAC{2, 0, 0, 0, 0, 1}, Node: "db-1", State: api.PeerDown,
			Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.70"), netip.MustParseAddr("fd12:3456:789a::1")},
		},
		{Network: "home", Container: "web", IfName: "eth0", MAC: api.MAC{2, 0, 0, 0, 0, 2}, Node: "web-1", State: api.PeerUp, Local: true},
	}, nil
}

func (d *daemon) DNS(context.Context, string) ([]api.Zone, error) {
	web, db := netip.MustParseAddr("10.77.0.5"), netip.MustParseAddr("10.77.0.70")
	lab := api.DNS{Domain: "lab.mesh", Off: "this host is no gateway that containers could ask (--egress nat)"}
	return []api.Zone{{Network: "home", DNS: network().DNS, Records: []api.Record{
		{Name: "db.db-1.home.mesh", Address: db, Container: "db", Node: "db-1"},
		{Name: "db.home.mesh", Address: db, Container: "db", Node: "db-1"},
		{Name: "web.home.mesh", Address: web, Container: "web", Node: "web-1", Local: true},
		{Name: "web.home.mesh", Address: netip.MustParseAddr("10.77.0.71"), Container: "web", Node: "db-1"},
		{Name: "web.home.mesh", Address: netip.MustParseAddr("fd12:3456:789a::5"), Container: "web", Node: "web-1", Local: true},
		{Name: "web-1.home.mesh", Address: netip.MustParseAddr("10.77.0.2"), Node: "web-1", Local: true},
		{Name: "www.home.mesh", Address: web, Container: "web", Node: "web-1", Alias: true, Local: true},
	}}, {Network: "lab", DNS: lab}}, nil
}

func (d *daemon) Attachments(context.Context, string) ([]api.Attachment, error) {
	return d.attachments, nil
}

func (d *daemon) Attach(_ context.Context, r api.AttachRequest) (api.Attachment, error) {
	d.requests = append(d.requests, r)
	return api.Attachment{}, api.Errorf(api.Unavailable, "network home is starting")
}

func (d *daemon) Detach(context.Context, api.DetachRequest) (bool, error) { return false, nil }

// start serves d until the test ends and makes it the meshd that meshctl talks to.
func start(t *testing.T, d *daemon) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meshd.sock")
	l, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.NewServer(d, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve error = %v", err)
		}
	})
	t.Setenv("MESHNET_SOCKET", path)
}

// meshctl runs the command line as a process would, and returns its exit code and output.
func meshctl(stdin, line string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(append(strings.Fields(line), args...), strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// golden compares got with testdata/name, or writes it there.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("got\n%s\nwant %s (-update rewrites it)\n%s%v", got, path, want, err)
	}
}

// What people read: a page for each command, with its exit codes.
func TestHelp(t *testing.T) {
	var all strings.Builder
	var visit func(cmd *cobra.Command, line string)
	visit = func(cmd *cobra.Command, line string) {
		code, stdout, stderr := meshctl("", line+" --help")
		if code != exitDone || stderr != "" || !strings.Contains(stdout, "DESCRIPTION") || !strings.Contains(stdout, "EXIT CODES") {
			t.Errorf("meshctl %s --help: exit %d, stderr %q, stdout %q; want a page", line, code, stderr, stdout)
		}
		all.WriteString("$ meshctl" + line + " --help\n" + stdout + "\n")
		for _, sub := range cmd.Commands() {
			visit(sub, line+" "+sub.Name())
		}
	}
	visit(newRoot(&cli{}), "")
	golden(t, "help.txt", all.String())
}

// What people read: tables.
func TestTables(t *testing.T) {
	start(t, new(daemon))
	var all strings.Builder
	for _, line := range []string{"status", "network list", "network show home", "peers", "leases home", "dns",
		"ipam show"} {
		var out, stderr bytes.Buffer
		root := newRoot(&cli{stdin: nil, stdout: &out, stderr: &stderr, now: now})
		root.SetArgs(strings.Fields(line))
		if err := root.ExecuteContext(context.Background()); err != nil || stderr.Len() > 0 {
			t.Errorf("meshctl %s: %v, stderr %q", line, err, stderr.String())
		}
		all.WriteString("$ meshctl " + line + "\n" + out.String() + "\n")
	}
	golden(t, "tables.txt", all.String())
}

// What programs read.
func TestJSON(t *testing.T) {
	start(t, new(daemon))
	var all strings.Builder
	for _, line := range []string{"status --json", "network list --json", "network show home --json", "peers --json", "leases --json", "dns --json",
		"ipam show --json", "ipam check home --json"} {
		code, stdout, stderr := meshctl("", line)
		if code != exitDone || stderr != "" {
			t.Errorf("meshctl %s: exit %d, stderr %q", line, code, stderr)
		}
		all.WriteString("$ meshctl " + line + "\n" + stdout + "\n")
	}
	golden(t, "json.txt", all.String())
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m00s", 3599 * time.Second: "59m59s",
		time.Hour: "1h00m", 26*time.Hour + 3*time.Minute: "1d02h", 400 * 24 * time.Hour: "400d00h",
	} {
		if got := age(now(), now().Add(-d)); got != want {
			t.Errorf("age of %v = %s, want %s", d, got, want)
		}
	}
	if got := age(now(), time.Time{}); got != "-" {
		t.Errorf("age of never = %s, want -", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 10: "10 KiB", 1536 << 10: "1.5 MiB", 1<<64 - 1: "16 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
