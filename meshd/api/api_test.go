package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"meshnet/meshd/token"
)

// fake is a Backend with fixed answers that notes what it is asked.
type fake struct {
	mu       sync.Mutex
	calls    []string
	networks []string
	err      error
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

// taken returns the calls since the last taken.
func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fake) Status(context.Context) (Status, error) {
	return Status{Version: "1", Networks: []Network{{Name: "home"}}}, f.note("Status")
}

func (f *fake) Networks(context.Context) ([]Network, error) {
	var l []Network
	for _, n := range f.networks {
		l = append(l, Network{Name: n, IPv6: prefix})
	}
	return l, f.err
}

func (f *fake) Network(_ context.Context, name string) (Network, error) {
	return Network{Name: name}, f.note("Network %s", name)
}

func (f *fake) Create(_ context.Context, r CreateRequest) (Created, error) {
	return Created{Network: Network{Name: r.Name}, Token: "t"}, f.note("Create %+v", r)
}

func (f *fake) Join(_ context.Context, r JoinRequest) (Network, error) {
	return Network{Name: "home"}, f.note("Join %+v", r)
}

func (f *fake) Update(_ context.Context, r UpdateRequest) (Network, error) {
	return Network{Name: r.Network}, f.note("Update %s bridge=%s dhcp=%s", r.Network, text(r.Bridge), text(r.DHCP))
}

// text shows what a pointer points to.
func text(s *string) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%q", *s)
}

func (f *fake) Leave(_ context.Context, name string, force bool) error {
	return f.note("Leave %s %v", name, force)
}

func (f *fake) Token(_ context.Context, name string, endpoints []string) (string, error) {
	return "t", f.note("Token %s %v", name, endpoints)
}

func (f *fake) Peers(_ context.Context, name string) ([]Peer, error) {
	return nil, f.note("Peers %q", name)
}

func (f *fake) Leases(_ context.Context, name string) ([]Lease, error) {
	return []Lease{{Network: "home", Container: "c", MAC: MAC{2}}}, f.note("Leases %q", name)
}

func (f *fake) DNS(_ context.Context, name string) ([]Zone, error) {
	return []Zone{{Network: "home", DNS: DNS{Domain: "home.mesh"}}}, f.note("DNS %q", name)
}

func (f *fake) Attachments(_ context.Context, name string) ([]Attachment, error) {
	return []Attachment{attachment}, f.note("Attachments %q", name)
}

func (f *fake) Attach(_ context.Context, r AttachRequest) (Attachment, error) {
	return attachment, f.note("Attach %+v", r)
}

func (f *fake) Detach(_ context.Context, r DetachRequest) (bool, error) {
	return r.Network == "home", f.note("Detach %+v", r)
}

func (f *fake) Ready(_ context.Context, name string) (Readiness, error) {
	return Readiness{Network: name, State: NetworkUp, Peers: PeerCount{Up: 1, Total: 2}}, f.note("Ready %s", name)
}

func (f *fake) IPAM(_ context.Context, name string) ([]IPAM, error) {
	return []IPAM{{Network: "home", Engine: "raft"}}, f.note("IPAM %q", name)
}

func (f *fake) IPAMCheck(_ context.Context, name string) (IPAMCheck, error) {
	return IPAMCheck{Network: name, Blocks: 3}, f.note("IPAMCheck %s", name)
}

func (f *fake) Reserve(_ context.Context, r ReserveRequest) (Reservation, error) {
	return Reservation{Addresses: r.Addresses, Comment: r.Comment}, f.note("Reserve %+v", r)
}

func (f *fake) Release(_ context.Context, r ReleaseRequest) (bool, error) {
	return true, f.note("Release %+v", r)
}

func (f *fake) Recover(_ context.Context, name string) (Recovered, error) {
	return Recovered{Generation: 2}, f.note("Recover %s", name)
}

func (f *fake) Adopt(_ context.Context, name string) (Adopted, error) {
	return Adopted{Adopted: true, Lost: []Lease{{Container: "c"}}}, f.note("Adopt %s", name)
}

func (f *fake) RemoveNode(_ context.Context, r RemoveNodeRequest) (Removed, error) {
	return Removed{Name: r.Node, Blocks: 1}, f.note("RemoveNode %+v", r)
}

var (
	pool       = netip.MustParsePrefix("10.77.0.0/16")
	part       = netip.MustParsePrefix("10.77.1.0/28")
	prefix     = netip.MustParsePrefix("fd00::/64")
	attachment = Attachment{
		Network: "home", Container: "c", IfName: "eth0", Bridge: "mesh0", MTU: 1500, MAC: MAC{2, 0, 0, 0, 0, 1},
		Addresses: []netip.Prefix{netip.MustParsePrefix("fd00::1/64")},
		Routes:    []Route{{Dst: netip.MustParsePrefix("fd01::/48"), Gateway: netip.MustParseAddr("fd00::2")}},
		Source:    SourceCNI, Created: time.Unix(1700000000, 0).UTC(),
	}
	quiet = slog.New(slog.DiscardHandler)
)

// serve serves f until the test ends, and returns the socket's path.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "meshd.sock")
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(f, quiet).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve error = %v", err)
		}
	})
	return path
}

// "Every call": each method of Client reaches its method of Backend, and the answer comes back whole.
func TestCalls(t *testing.T) {
	f := &fake{networks: []string{"home"}}
	c := NewClient(serve(t, f))
	defer c.Close()
	ctx := context.Background()
	attach := AttachOptions{MTU: 1400, Source: SourceCNI, NetNS: "/run/netns/c", IPv4: "10.77.0.9", MAC: MAC{2, 0, 0, 0, 0, 9},
		CNINetwork: "podnet", Aliases: []string{"www", "api"}}
	key := func(network string) AttachRequest {
		return AttachRequest{Network: network, Container: "c", IfName: "eth0", AttachOptions: attach}
	}
	for _, tt := range []struct {
		name string
		call func() (any, error)
		want any
		asks string
	}{
		{"status", func() (any, error) { return c.Status(ctx) },
			Status{Version: "1", Networks: []Network{{Name: "home"}}}.filled(), "Status"},
		{"networks", func() (any, error) { return c.Networks(ctx) }, []Network{Network{Name: "home", IPv6: prefix}.filled()}, ""},
		{"network", func() (any, error) { return c.Network(ctx, "home") }, Network{Name: "home"}.filled(), "Network home"},
		{"create", func() (any, error) {
			return c.Create(ctx, CreateRequest{Name: "home", IPv6: netip.MustParsePrefix("fd00::/48"), MTU: 1400, Bridge: "b", DHCP: "open", Egress: "nat",
				PSK: "12345678", Endpoints: []string{"a:1"}, NodeName: "n",
				Pools: []Pool{{Prefix: pool, BlockBits: 27, Exclude: []netip.Prefix{part}}}, IPAM: "etcd://e", DeadAfter: Duration(24 * time.Hour), Force: true})
		}, Created{Network: Network{Name: "home"}.filled(), Token: "t"},
			"Create {Name:home IPv6:fd00::/48 MTU:1400 Bridge:b DHCP:open Egress:nat PSK:12345678 Endpoints:[a:1] NodeName:n " +
				"Pools:[{Prefix:10.77.0.0/16 BlockBits:27 Gateway:invalid IP Exclude:[10.77.1.0/28]}] IPv4None:false IPAM:etcd://e DeadAfter:24h Force:true}"},
		{"join", func() (any, error) {
			return c.Join(ctx, JoinRequest{Token: "t", Bridge: "b", DHCP: "closed", Egress: "none", Endpoints: []string{"a:1"}, NoWait: true, IPAM: "etcds://u:p@e"})
		}, Network{Name: "home"}.filled(), "Join {Token:t Bridge:b DHCP:closed Egress:none Endpoints:[a:1] NodeName: NoWait:true IPAM:etcds://u:p@e Force:false}"},
		{"leave", func() (any, error) { return nil, c.Leave(ctx, "home", true) }, nil, "Leave home true"},
		{"update", func() (any, error) {
			bridge := ""
			n, err := c.Update(ctx, UpdateRequest{Network: "home", Bridge: &bridge})
			return n.Name, err
		}, "home", `Update home bridge="" dhcp=-`},
		{"token", func() (any, error) { return c.Token(ctx, "home") }, "t", "Token home []"},
		{"token with endpoints", func() (any, error) { return c.Token(ctx, "home", "a:1", "[::1]:2") }, "t", "Token home [a:1 [::1]:2]"},
		{"peers", func() (any, error) { return c.Peers(ctx, "home") }, []Peer{}, `Peers "home"`},
		{"peers of all", func() (any, error) { return c.Peers(ctx, "") }, []Peer{}, `Peers ""`},
		{"leases", func() (any, error) { return c.Leases(ctx, "home") },
			[]Lease{Lease{Network: "home", Container: "c", MAC: MAC{2}}.filled()}, `Leases "home"`},
		{"dns", func() (any, error) { return c.DNS(ctx, "home") },
			[]Zone{Zone{Network: "home", DNS: DNS{Domain: "home.mesh"}}.filled()}, `DNS "home"`},
		{"dns of all", func() (any, error) { return c.DNS(ctx, "") },
			[]Zone{Zone{Network: "home", DNS: DNS{Domain: "home.mesh"}}.filled()}, `DNS ""`},
		{"attachments of all", func() (any, error) { return c.Attachments(ctx, "") }, []Attachment{attachment}, `Attachments ""`},
		{"attach", func() (any, error) { return c.Attach(ctx, key("home")) }, attachment, fmt.Sprintf("Attach %+v", key("home"))},
		{"attach to the only one", func() (any, error) { return c.Attach(ctx, key("")) }, attachment, fmt.Sprintf("Attach %+v", key("home"))},
		{"attach with defaults", func() (any, error) {
			return c.Attach(ctx, AttachRequest{Network: "home", Container: "a%2Fb", IfName: "eth0"})
		}, attachment, fmt.Sprintf("Attach %+v", AttachRequest{Network: "home", Container: "a%2Fb", IfName: "eth0",
			AttachOptions: AttachOptions{Source: SourceManual}})},
		{"detach", func() (any, error) {
			return c.Detach(ctx, DetachRequest{Network: "home", Container: "c", IfName: "eth0"})
		}, true,
			"Detach {Network:home Container:c IfName:eth0 Source: CNINetwork:}"},
		{"detach of another", func() (any, error) {
			return c.Detach(ctx, DetachRequest{Network: "other", Container: "c", IfName: "eth0", Source: SourceCNI, CNINetwork: "pods"})
		}, false,
			"Detach {Network:other Container:c IfName:eth0 Source:cni CNINetwork:pods}"},
		{"ready", func() (any, error) { return c.Ready(ctx, "home") },
			Readiness{Network: "home", State: NetworkUp, Peers: PeerCount{Up: 1, Total: 2}}, "Ready home"},
		{"ipam", func() (any, error) { return c.IPAM(ctx, "home") },
			[]IPAM{IPAM{Network: "home", Engine: "raft"}.filled()}, `IPAM "home"`},
		{"ipam of all", func() (any, error) { return c.IPAM(ctx, "") },
			[]IPAM{IPAM{Network: "home", Engine: "raft"}.filled()}, `IPAM ""`},
		{"ipam check", func() (any, error) { return c.IPAMCheck(ctx, "home") }, IPAMCheck{Network: "home", Blocks: 3}.filled(), "IPAMCheck home"},
		{"reserve", func() (any, error) {
			return c.Reserve(ctx, ReserveRequest{"home", token.RangeOf(part), "printers & co"})
		},
			Reservation{Addresses: token.RangeOf(part), Comment: "printers & co"}, "Reserve {Network:home Addresses:10.77.1.0/28 Comment:printers & co}"},
		{"release", func() (any, error) { return c.Release(ctx, ReleaseRequest{"home", token.RangeOf(part)}) }, true,
			"Release {Network:home Addresses:10.77.1.0/28}"},
		{"recover", func() (any, error) { return c.Recover(ctx, "home") }, Recovered{Generation: 2}.filled(), "Recover home"},
		{"adopt", func() (any, error) { return c.Adopt(ctx, "home") }, Adopted{Adopted: true, Lost: []Lease{{Container: "c"}}}.filled(), "Adopt home"},
		{"remove a node", func() (any, error) { return c.RemoveNode(ctx, RemoveNodeRequest{Network: "home", Node: "db-1"}) },
			Removed{Name: "db-1", Blocks: 1}, "RemoveNode {Network:home Node:db-1 Force:false}"},
		{"remove a node that is up", func() (any, error) { return c.RemoveNode(ctx, RemoveNodeRequest{"home", "db-1", true}) },
			Removed{Name: "db-1", Blocks: 1}, "RemoveNode {Network:home Node:db-1 Force:true}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.taken()
			got, err := tt.call()
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
			if calls := strings.Join(f.taken(), "; "); calls != tt.asks {
				t.Errorf("backend was asked %s\nwant %s", calls, tt.asks)
			}
		})
	}
}

// "PUT and DELETE under /v1/attachments mean the only network there is (PUT), or whichever holds the attachment."
func TestNoNetworkNamed(t *testing.T) {
	ctx := context.Background()
	f := &fake{}
	c := NewClient(serve(t, f))
	defer c.Close()
	if _, err := c.Attach(ctx, AttachRequest{Container: "c", IfName: "eth0"}); CodeOf(err) != NotFound || !strings.Contains(err.Error(), "in no network") {
		t.Errorf("Attach without networks error = %v, want not_found", err)
	}
	if done, err := c.Detach(ctx, DetachRequest{Container: "c", IfName: "eth0"}); done || err != nil {
		t.Errorf("Detach without networks = %v, %v, want false", done, err)
	}
	f.networks = []string{"away", "home"}
	if _, err := c.Attach(ctx, AttachRequest{Container: "c", IfName: "eth0"}); CodeOf(err) != Invalid || !strings.Contains(err.Error(), "(away, home)") {
		t.Errorf("Attach with two networks error = %v, want one that names them", err)
	}
	f.taken()
	if done, err := c.Detach(ctx, DetachRequest{Container: "c", IfName: "eth0"}); !done || err != nil || len(f.taken()) != 2 {
		t.Errorf("Detach with two networks = %v, %v, want true after asking both", done, err)
	}
}

// Each code travels as its status and comes back as itself.
func TestErrorCodes(t *testing.T) {
	f := &fake{}
	path := serve(t, f)
	c := NewClient(path)
	defer c.Close()
	for _, tt := range []struct {
		err     error
		code    Code
		status  int
		message string
	}{
		{Errorf(Invalid, "bad"), Invalid, 400, "bad"},
		{Errorf(Forbidden, "no"), Forbidden, 403, "no"},
		{fmt.Errorf("network a: %w", Errorf(NotFound, "gone")), NotFound, 404, "network a: gone"},
		{Errorf(Conflict, "there is one"), Conflict, 409, "there is one"},
		{Errorf(Unavailable, "later"), Unavailable, 503, "later"},
		{context.DeadlineExceeded, Unavailable, 503, "context deadline exceeded"},
		{errors.New("disk broken"), Internal, 500, "disk broken"},
	} {
		f.err = tt.err
		_, err := c.Status(context.Background())
		var e *Error
		if !errors.As(err, &e) || e.Code != tt.code || e.Message != tt.message || CodeOf(err) != tt.code {
			t.Errorf("backend error %v arrives as %#v, want %s", tt.err, err, tt.code)
		}
		resp, body := request(t, path, http.MethodGet, "/v1/status", nil)
		want := fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`+"\n", tt.code, tt.message)
		if resp.StatusCode != tt.status || body != want {
			t.Errorf("backend error %v: status %d, body %s; want %d, %s", tt.err, resp.StatusCode, body, tt.status, want)
		}
		if codeOf(tt.status) != tt.code {
			t.Errorf("codeOf(%d) = %s, want %s", tt.status, codeOf(tt.status), tt.code)
		}
	}
}

// request makes one raw request.
func request(t *testing.T, socket, method, target string, body io.Reader) (*http.Response, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequest(method, "http://meshd"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return resp, string(text)
}

func TestBadRequests(t *testing.T) {
	path := serve(t, &fake{networks: []string{"home"}})
	attach := "/v1/networks/home/attachments/c/eth0"
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		says                       string
	}{
		{"root", "GET", "/", "", 404, "there is nothing at"},
		{"later version", "GET", "/v2/status", "", 404, "there is nothing at"},
		{"unclean path", "GET", "/v1/../v1/status", "", 404, "not a clean path"},
		{"double slash", "GET", "/v1//status", "", 404, "not a clean path"},
		{"dots escaped", "GET", "/v1/networks/%2e%2e", "", 404, "not a clean path"},
		{"final slash", "GET", "/v1/status/", "", 404, "not a clean path"},
		{"method", "DELETE", "/v1/status", "", 405, "only GET, HEAD"},
		{"own method", "BREW", "/v1/networks", "", 405, "only GET, HEAD, POST"},
		{"network name", "GET", "/v1/networks/Home", "", 400, "capital letter"},
		{"escaped slash", "GET", "/v1/networks/a%2Fb", "", 400, "character '/'"},
		{"peers of a bad name", "GET", "/v1/networks/-/peers", "", 400, "begins or ends"},
		{"token parameter", "GET", "/v1/networks/home/token?x=1", "", 400, `unknown parameter \"x\"`},
		{"token endpoint", "GET", "/v1/networks/home/token?endpoint=x", "", 400, "not HOST:PORT"},
		{"token query", "GET", "/v1/networks/home/token?%zz", "", 400, "bad query"},
		{"not JSON", "POST", "/v1/networks", "name=home", 400, "not a JSON object"},
		{"cut JSON", "POST", "/v1/networks", `{"name":"home"`, 400, "ends in the middle"},
		{"array", "POST", "/v1/networks", `[]`, 400, "not a JSON object"},
		{"null", "POST", "/v1/networks", `null`, 400, "not a JSON object"},
		{"two objects", "POST", "/v1/networks", `{"name":"home"} {}`, 400, "something follows"},
		{"unknown field", "POST", "/v1/networks", `{"name":"home","colour":1}`, 400, `unknown field \"colour\"`},
		{"wrong type", "POST", "/v1/networks", `{"name":1}`, 400, "cannot unmarshal number"},
		{"deep", "POST", "/v1/networks", `{"name":` + strings.Repeat("[", 20000), 400, "bad body"},
		{"no name", "POST", "/v1/networks", ``, 400, "empty"},
		{"create: prefix", "POST", "/v1/networks", `{"name":"a","ipv6":"10.0.0.0/8"}`, 400, "not an IPv6 prefix"},
		{"create: not a prefix", "POST", "/v1/networks", `{"name":"a","ipv6":"x"}`, 400, "bad body"},
		{"create: MTU", "POST", "/v1/networks", `{"name":"a","mtu":1}`, 400, "MTU 1"},
		{"create: dhcp", "POST", "/v1/networks", `{"name":"a","dhcp":"on"}`, 400, "dhcp: "},
		{"create: egress", "POST", "/v1/networks", `{"name":"a","egress":"on"}`, 400, "egress: "},
		{"create: bridge", "POST", "/v1/networks", `{"name":"a","bridge":"a b"}`, 400, "bridge: interface name"},
		{"create: endpoint", "POST", "/v1/networks", `{"name":"a","endpoints":["x"]}`, 400, "not HOST:PORT"},
		{"create: node name", "POST", "/v1/networks", `{"name":"a","node_name":"a b"}`, 400, "node name"},
		{"create: PSK", "POST", "/v1/networks", `{"name":"a","psk":"` + strings.Repeat("x", 2049) + `"}`, 400, "the PSK has 2049 bytes"},
		{"join: nothing", "POST", "/v1/networks/join", `{}`, 400, "token is missing"},
		{"join: long", "POST", "/v1/networks/join", `{"token":"` + strings.Repeat("x", 5000) + `"}`, 400, "no token has more"},
		{"attach: container", "PUT", "/v1/networks/home/attachments/-c/eth0", "", 400, "does not begin with"},
		{"attach: container with escape sequence", "PUT", "/v1/attachments/c%1b/eth0", "", 400, "has the character"},
		{"attach: long container", "PUT", "/v1/attachments/" + strings.Repeat("c", 257) + "/eth0", "", 400, "257 bytes"},
		{"attach: interface", "PUT", "/v1/attachments/c/1234567890123456", "", 400, "the kernel allows 15"},
		{"attach: MTU", "PUT", attach, `{"mtu":100}`, 400, "MTU 100"},
		{"attach: source", "PUT", attach, `{"source":"docker"}`, 400, "source"},
		{"attach: netns", "PUT", attach, `{"netns":"a\nb"}`, 400, "control character"},
		{"attach: body", "PUT", attach, `{"container":"x"}`, 400, "unknown field"},
		{"attach: IPv6 as IPv4", "PUT", attach, `{"ipv4":"fd00::1"}`, 400, "neither an IPv4 address nor"},
		{"attach: prefix as IPv4", "PUT", attach, `{"ipv4":"10.77.0.1/16"}`, 400, "neither an IPv4 address nor"},
		{"attach: IPv4 as IPv6", "PUT", attach, `{"ipv6":"10.77.0.1"}`, 400, "not an IPv6 address"},
		{"attach: IPv6 with a zone", "PUT", attach, `{"ipv6":"fe80::1%eth0"}`, 400, "not an IPv6 address"},
		{"attach: MAC of a group", "PUT", attach, `{"mac":"01:00:5e:00:00:01"}`, 400, "is a group's"},
		{"attach: MAC", "PUT", attach, `{"mac":"02:00"}`, 400, "not an Ethernet address"},
		{"attach: former", "PUT", attach, `{"former":{"container":"a/b","ifname":"eth0"}}`, 400, "former: container ID"},
		{"update: bridge", "PATCH", "/v1/networks/home", `{"bridge":"1234567890123456"}`, 400, "bridge: "},
		{"update: dhcp", "PATCH", "/v1/networks/home", `{"dhcp":"maybe"}`, 400, "dhcp: "},
		{"update: name", "PATCH", "/v1/networks/Home", `{}`, 400, "Home"},
		{"update: body", "PATCH", "/v1/networks/home", `{"network":"x"}`, 400, "unknown field"},
		{"attach: multicast", "PUT", attach, `{"ipv4":"224.0.0.1"}`, 400, "neither an IPv4 address nor"},
		{"attach: group MAC", "PUT", attach, `{"mac":"01:00:00:00:00:01"}`, 400, "MAC address 01:00:00:00:00:01 is a group's"},
		{"attach: no MAC", "PUT", attach, `{"mac":"x"}`, 400, "bad body"},
		{"attach: alias", "PUT", attach, `{"aliases":["web","a b"]}`, 400, "alias \\\"a b\\\" has the character"},
		{"attach: empty alias", "PUT", attach, `{"aliases":[""]}`, 400, "has 0 bytes"},
		{"attach: aliases", "PUT", attach, `{"aliases":["a"` + strings.Repeat(`,"a"`, 32) + `]}`, 400, "33 aliases"},
		{"attach: CNI network", "PUT", attach, `{"cni_network":"` + strings.Repeat("n", 256) + `"}`, 400, "256 bytes"},
		{"detach: source", "DELETE", attach + "?source=docker", "", 400, "is not"},
		{"detach: no source", "DELETE", attach + "?source=", "", 400, "source is empty"},
		{"detach: parameter", "DELETE", attach + "?force=true", "", 400, `unknown parameter \"force\"`},
		{"ready of a bad name", "GET", "/v1/networks/-/ready", "", 400, "begins or ends"},
		{"create: pool", "POST", "/v1/networks", `{"name":"a","pools":[{"prefix":"10.77.0.1/16"}]}`, 400, "did you mean 10.77.0.0/16"},
		{"create: no pool and one", "POST", "/v1/networks", `{"name":"a","ipv4_none":true,"pools":[{"prefix":"10.77.0.0/16"}]}`, 400, "neither pools nor ipam"},
		{"create: ipam", "POST", "/v1/networks", `{"name":"a","ipam":"zookeeper://a"}`, 400, "ipam: it is neither"},
		{"create: path of the caller", "POST", "/v1/networks", `{"name":"a","ipam":"etcd://e?ca=ca.pem"}`, 400, "not an absolute path"},
		{"join: ipam", "POST", "/v1/networks/join", `{"token":"t","ipam":"etcd://"}`, 400, "ipam: etcd"},
		{"ipam of a bad name", "GET", "/v1/networks/-/ipam", "", 400, "begins or ends"},
		{"reserve: nothing", "POST", "/v1/networks/home/ipam/reserve", `{}`, 400, "reserve are missing"},
		{"reserve: IPv6", "POST", "/v1/networks/home/ipam/reserve", `{"addresses":"fd00::/64"}`, 400, "neither an IPv4 address nor"},
		{"reserve: host bits", "POST", "/v1/networks/home/ipam/reserve", `{"addresses":"10.77.0.1/24"}`, 400, "did you mean 10.77.0.0/24"},
		{"reserve: comment", "POST", "/v1/networks/home/ipam/reserve", `{"addresses":"10.77.0.0/24","comment":"a\u001b"}`, 400, "control character"},
		{"reserve: long comment", "POST", "/v1/networks/home/ipam/reserve", `{"addresses":"10.77.0.0/24","comment":"` + strings.Repeat("x", 201) + `"}`, 400, "201 bytes"},
		{"release: nothing", "DELETE", "/v1/networks/home/ipam/reserve", "", 400, "release are missing"},
		{"release: word", "DELETE", "/v1/networks/home/ipam/reserve?addresses=x", "", 400, "neither an IPv4"},
		{"release: two", "DELETE", "/v1/networks/home/ipam/reserve?addresses=10.77.0.0/24&addresses=10.77.1.0/24", "", 400, "is there 2 times"},
		{"release: parameter", "DELETE", "/v1/networks/home/ipam/reserve?addresses=10.77.0.0/24&x=1", "", 400, `unknown parameter \"x\"`},
		{"release: query", "DELETE", "/v1/networks/home/ipam/reserve?%zz", "", 400, "bad query"},
		{"remove: name", "DELETE", "/v1/networks/home/nodes/-a", "", 400, "node name"},
		{"remove: force", "DELETE", "/v1/networks/home/nodes/a?force=maybe", "", 400, "neither true nor false"},
		{"recover by GET", "GET", "/v1/networks/home/ipam/recover", "", 405, "only POST"},
		{"detach: interface", "DELETE", "/v1/attachments/c/a:b", "", 400, "character ':'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := request(t, path, tt.method, tt.target, strings.NewReader(tt.body))
			var e errorBody
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil || resp.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("status %d, body %q; want an error in JSON", resp.StatusCode, body)
			}
			if resp.StatusCode != tt.status || e.Error.Code != codeOf(tt.status) || !strings.Contains(body, tt.says) {
				t.Errorf("status %d, body %s; want %d that says %q", resp.StatusCode, body, tt.status, tt.says)
			}
		})
	}
}

// "Programs rely on the JSON of this package": this is what an attachment and a peer look like.
func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{attachment, `{"network":"home","container":"c","ifname":"eth0","bridge":"mesh0","mtu":1500,"mac":"02:00:00:00:00:01",` +
			`"addresses":["fd00::1/64"],"routes":[{"dst":"fd01::/48","gateway":"fd00::2"}],"source":"cni","created":"2023-11-14T22:13:20Z"}`},
		{Attachment{}.filled(), `{"network":"","container":"","ifname":"","bridge":"","mtu":0,"mac":"00:00:00:00:00:00",` +
			`"addresses":[],"routes":[],"source":""}`},
		{Peer{Name: "b", State: PeerUp, Instance: 1<<63 + 1}.filled(), `{"network":"","name":"b","id":"","state":"up","endpoints":[],` +
			`"instance":"9223372036854775809","rx_bytes":0,"tx_bytes":0,"rx_datagrams":0,"tx_datagrams":0,"attachments":0,"created_network":false}`},
		{Status{}.filled(), `{"version":"","instance":"0","started":"0001-01-01T00:00:00Z","node_name":"","listen":[],"offloads":[],"networks":[],"warnings":[]}`},
		{IPAM{}.filled(), `{"network":"","engine":"","role":"","voters":[],"copies":[],"registry":"","creator":"","generation":0,` +
			`"pools":[],"nodes":[],"blocks":[],"claims":[],"lost":[],"reservations":[]}`},
		{PoolUse{Pool: Pool{Prefix: pool, Gateway: netip.MustParseAddr("10.77.0.1"), Exclude: []netip.Prefix{part}}, Addresses: 65517},
			`{"prefix":"10.77.0.0/16","gateway":"10.77.0.1","exclude":["10.77.1.0/28"],"addresses":65517,"owned":0,"leased":0,` +
				`"reserved":0,"blocks":0,"owned_blocks":0,"cooling_blocks":0,"free_blocks":0}`},
		{NodeUse{}, `{"name":"","id":"","local":false,"state":"","epoch":0,"removed":false,"blocks":0,"addresses":0,"leased":0}`},
		{BlockUse{Prefix: part, Pool: pool, State: BlockOwned}, `{"prefix":"10.77.1.0/28","pool":"10.77.0.0/16","state":"owned","node":"",` +
			`"node_id":"","epoch":0,"addresses":0,"leased":0}`},
		{AddressClaim{Address: part.Addr()}, `{"address":"10.77.1.0","node":"","node_id":"","attachment":""}`},
		{IPAMCheck{}.filled(), `{"network":"","pools":0,"nodes":0,"blocks":0,"leases":0,"violations":[],"skipped":[]}`},
		{Reservation{Addresses: token.RangeOf(part)}, `{"addresses":"10.77.1.0/28"}`},
		{Violation{"r", "t"}, `{"rule":"r","text":"t"}`},
		{Recovered{}.filled(), `{"generation":0,"lost":[],"waiting":[]}`},
		{Adopted{}.filled(), `{"adopted":false,"registry":"","creator":"","lost":[]}`},
		{Removed{}, `{"name":"","id":"","blocks":0}`},
		{Lease{}.filled(), `{"network":"","container":"","ifname":"","mac":"00:00:00:00:00:00","addresses":[],"node":"","node_id":"","state":"","local":false}`},
	} {
		if got, err := json.Marshal(tt.v); err != nil || string(got) != tt.want {
			t.Errorf("Marshal(%T) = %s, %v\nwant %s", tt.v, got, err, tt.want)
		}
	}
	for _, bad := range []string{`"02:00:00:00:00"`, `"02:00:00:00:00:00:00:01"`, `"x"`, `1`} {
		if err := json.Unmarshal([]byte(bad), new(MAC)); err == nil {
			t.Errorf("Unmarshal(%s) into a MAC succeeds", bad)
		}
	}
}

// IPv4 is "" for an address of meshd's choice, NoIPv4 for none, or the address that is asked for.
func TestV4(t *testing.T) {
	for text, want := range map[string]struct {
		none bool
		addr netip.Addr
	}{"": {}, NoIPv4: {none: true}, "10.77.0.9": {addr: netip.MustParseAddr("10.77.0.9")}} {
		if none, addr := (AttachOptions{IPv4: text}).V4(); none != want.none || addr != want.addr {
			t.Errorf("V4 of %q = %v, %v, want %v, %v", text, none, addr, want.none, want.addr)
		}
	}
}

// Whatever a body holds, decoding ends in a request that passes its check or in an error; and what passes survives JSON.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `{"name":"home","mtu":1500,"ipv6":"fd00::/48","endpoints":["a:1"],"psk":"12345678"}`,
		`{"name":"a","pools":[{"prefix":"10.77.0.0/16","block_bits":26,"gateway":"10.77.0.1","exclude":["10.77.0.0/28"]}],"ipam":"raft"}`,
		`{"name":"a","ipv4_none":true}`, `{"addresses":"10.77.0.0/28","comment":"c"}`, `{"ipv4":"none"}`,
		`{"token":"meshnet1_AAAA","no_wait":true,"ipam":"etcds://u:p@a:1?ca=/c","force":true}`, `{"mtu":1400,"source":"cni","netns":"/run/netns/x"}`, `{"name":"a"}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []checker{new(CreateRequest), new(JoinRequest), new(ReserveRequest)} {
			r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if decode(r, v) != nil {
				continue
			}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatalf("Marshal(%+v): %v", v, err)
			}
			again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := unmarshal(text, again); err != nil || again.(checker).check() != nil {
				t.Errorf("%s decoded from %q is not good: %v", text, body, err)
			}
		}
		if err := unmarshal(body, new(AttachOptions)); err != nil && err.Error() == "" {
			t.Errorf("unmarshal(%q): an error without words", body)
		}
	})
}
