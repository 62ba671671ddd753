package main

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/meshdtest"
)

// alive is the list of a garbage collection.
func alive(ids ...string) []any {
	list := []any{}
	for _, id := range ids {
		list = append(list, map[string]any{"containerID": id, "ifname": "eth0"})
	}
	return list
}

// held returns the containers that have a lease, and of those with "+veth" their host's end.
func held(t *testing.T, r run) string {
	t.Helper()
	attachments, err := api.NewClient(r.socket).Attachments(context.Background(), "homes")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range attachments {
		name := a.Container
		if exec.Command("ip", "link", "show", attach.HostName(a.Container, a.IfName)).Run() == nil {
			name += "+veth"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// "Must remove any attachments that are not in the list": those of this CNI network and no others, and "a missing list never
// means that nothing is alive".
func TestGC(t *testing.T) {
	const all = "c1+veth c2+veth c3+veth ipam lxc other+veth"
	const rest = "c1+veth ipam lxc other+veth"
	rows := []struct {
		name string
		keys map[string]any
		want string
	}{
		{"a list", map[string]any{"cni.dev/valid-attachments": alive("c1")}, rest},
		{"the legacy list", map[string]any{"cni.dev/attachments": alive("c1")}, rest},
		{"two lists", map[string]any{"cni.dev/valid-attachments": alive("c1"), "cni.dev/attachments": alive("c3")}, "c1+veth c3+veth ipam lxc other+veth"},
		{"nothing is alive", map[string]any{"cni.dev/valid-attachments": alive()}, "ipam lxc other+veth"},
		{"alive elsewhere", map[string]any{"cni.dev/valid-attachments": alive("c1", "c9")}, rest},
		{"no list", nil, all},
		{"null", map[string]any{"cni.dev/valid-attachments": json.RawMessage("null"), "cni.dev/attachments": json.RawMessage("null")}, all},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, _ := startFour(t)
			if got := held(t, r); got != all {
				t.Fatalf("before GC there is %s, want %s", got, all)
			}
			collect := r.with("GC")
			for key, value := range row.keys {
				collect = collect.set(key, value)
			}
			for range 2 {
				mustExec(t, collect)
				if got := held(t, r); got != row.want {
					t.Errorf("after GC there is %s, want %s", got, row.want)
				}
			}
		})
	}
}

// startFour makes a host with c1, c2 and c3 in one CNI network, another container in another, and leases of LXC and of the IPAM
// plugin. It returns the run of c1.
func startFour(t *testing.T) (run, *meshdtest.Backend) {
	t.Helper()
	b := meshdtest.New()
	r := start(t, b, "1.1.0")
	mustExec(t, r)
	for _, id := range []string{"c2", "c3", "other"} {
		next := r
		next.id = id
		next.netns, _ = meshdtest.Container(t)
		if id == "other" {
			next = next.set("name", "others")
		}
		mustExec(t, next)
	}
	client := api.NewClient(r.socket)
	for id, source := range map[string]api.Source{"lxc": api.SourceLXC, "ipam": api.SourceCNIIPAM} {
		_, err := client.Attach(context.Background(), api.AttachRequest{Network: "homes", Container: id, IfName: "eth0",
			AttachOptions: api.AttachOptions{Source: source, CNINetwork: "homes"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, b
}

// "Must collect errors and go on": what can be removed is, the error names what cannot.
func TestGCGoesOn(t *testing.T) {
	r, b := startFour(t)
	b.FailDetach = map[string]error{"c2": errors.New("disk full")}
	_, err := r.with("GC").set("cni.dev/valid-attachments", alive()).exec(t)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != cni.CodeCollect || !strings.Contains(e.Msg, "c2/eth0: disk full") || strings.Contains(e.Msg, "c1") {
		t.Errorf("GC = %v, want code %d about c2 alone", err, cni.CodeCollect)
	}
	if got := held(t, r); got != "c2 ipam lxc other+veth" {
		t.Errorf("after GC there is %s, want c2's lease and what is not of this network", got)
	}
}

// An interface whose lease is lost is found by its alias; what another CNI network or LXC made is not.
func TestGCOfInterfaces(t *testing.T) {
	r, _ := startFour(t)
	client := api.NewClient(r.socket)
	for _, id := range []string{"c1", "c2", "other"} {
		if _, err := client.Detach(context.Background(), api.DetachRequest{Network: "homes", Container: id, IfName: "eth0"}); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, r.with("GC").set("cni.dev/valid-attachments", alive("c2")))
	for id, want := range map[string]bool{"c1": false, "c2": true, "c3": false, "other": true} {
		if got := exec.Command("ip", "link", "show", attach.HostName(id, "eth0")).Run() == nil; got != want {
			t.Errorf("%s has its veth: %v, want %v", id, got, want)
		}
	}
}

// DEL of a CNI runtime does not take away what LXC has under that name.
func TestDelOfAnothers(t *testing.T) {
	for _, source := range []api.Source{api.SourceLXC, api.SourceManual} {
		t.Run(string(source), func(t *testing.T) {
			r := start(t, meshdtest.New(), "1.0.0")
			client := api.NewClient(r.socket)
			_, err := attach.Add(context.Background(), client, attach.Request{Network: "homes", Container: "c1", IfName: "eth0", NetNS: r.netns,
				Source: source, LockDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, r.with("DEL"))
			if got := held(t, r); got != "c1+veth" {
				t.Errorf("after DEL there is %q, want what %s made", got, source)
			}
			if _, err := r.with("DEL").set("socket", "/nonexistent").exec(t); err == nil || !strings.Contains(err.Error(), "is meshd running?") {
				t.Errorf("DEL without meshd = %v, want its error", err)
			}
			if got := held(t, r); got != "c1+veth" {
				t.Errorf("after DEL without meshd there is %q, want what %s made", got, source)
			}
		})
	}
}

// A list that cannot be meant removes nothing.
func TestGCOfNonsense(t *testing.T) {
	for name, row := range map[string]struct {
		value any
		code  uint
	}{
		"no list":        {map[string]any{}, types.ErrDecodingFailure},
		"strings":        {[]any{"c1"}, types.ErrDecodingFailure},
		"no containerID": {[]any{map[string]any{"ifname": "eth0"}}, types.ErrInvalidNetworkConfig},
		"no ifname":      {[]any{map[string]any{"containerID": "c1"}}, types.ErrInvalidNetworkConfig},
		"a null entry":   {json.RawMessage("[null]"), types.ErrInvalidNetworkConfig},
	} {
		for _, key := range []string{"cni.dev/valid-attachments", "cni.dev/attachments"} {
			t.Run(name+" in "+key, func(t *testing.T) {
				r := start(t, meshdtest.New(), "1.1.0")
				mustExec(t, r)
				_, err := r.with("GC").set(key, row.value).exec(t)
				var e *types.Error
				if !errors.As(err, &e) || e.Code != row.code {
					t.Errorf("GC = %v, want code %d", err, row.code)
				}
				if got := held(t, r); got != "c1+veth" {
					t.Errorf("after GC there is %q, want all", got)
				}
			})
		}
	}
}

// STATUS: 50 if ADD would fail, 51 if containers reach no other host.
func TestStatus(t *testing.T) {
	rows := []struct {
		name   string
		change func(*meshdtest.Backend, run) run
		code   uint // 0: success
		want   string
	}{
		{"ready", func(_ *meshdtest.Backend, r run) run { return r }, 0, ""},
		{"the only network", func(_ *meshdtest.Backend, r run) run { return r.set("network", nil) }, 0, ""},
		{"peers", func(b *meshdtest.Backend, r run) run { b.Net.Peers = api.PeerCount{Up: 1, Total: 3}; return r }, 0, ""},
		{"no IPv4 address", func(b *meshdtest.Backend, r run) run { b.NoIPv4 = "no free block is left in 10.77.0.0/16"; return r },
			types.ErrPluginNotAvailable, "network homes: no free block is left in 10.77.0.0/16"},
		{"no IPv4 address, none wanted", func(b *meshdtest.Backend, r run) run { b.NoIPv4 = "none"; return r.set("ipv4", false) }, 0, ""},
		{"no peer", func(b *meshdtest.Backend, r run) run { b.Net.Peers = api.PeerCount{Total: 2}; return r },
			types.ErrLimitedConnectivity, "network homes: none of the 2 other hosts can be reached"},
		{"the only other host is down", func(b *meshdtest.Backend, r run) run { b.Net.Peers = api.PeerCount{Total: 1}; return r }, 0, ""},
		{"no peer and no address", func(b *meshdtest.Backend, r run) run {
			b.Net.Peers, b.NoIPv4 = api.PeerCount{Total: 2}, "no free block"
			return r
		}, types.ErrLimitedConnectivity, "can be reached (meshctl peers); network homes: no free block"},
		{"starting", func(b *meshdtest.Backend, r run) run { b.Net.State = api.NetworkStarting; return r },
			types.ErrPluginNotAvailable, "network homes is starting"},
		{"no meshd", func(_ *meshdtest.Backend, r run) run { return r.set("socket", "/nonexistent") },
			types.ErrPluginNotAvailable, "is meshd running?"},
		{"no delegate", func(_ *meshdtest.Backend, r run) run { return r.set("ipam", map[string]any{"type": "nowhere"}) },
			types.ErrPluginNotAvailable, "IPAM plugin nowhere: failed to find plugin"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := meshdtest.New()
			r := row.change(b, start(t, b, "1.1.0").with("STATUS"))
			r.id, r.netns, r.ifname = "", "", "" // "no parameters but CNI_PATH"
			_, err := r.exec(t)
			var e *types.Error
			if row.code == 0 && err != nil || row.code != 0 && (!errors.As(err, &e) || e.Code != row.code || !strings.Contains(e.Msg, row.want)) {
				t.Errorf("STATUS = %v, want code %d with %q", err, row.code, row.want)
			}
		})
	}
}

// What one CNI network has put on, another does not take off, though container and interface are called the same: a DEL that comes
// again, or late, finds another network's interface in the place of its own.
func TestDelOfAnotherNetwork(t *testing.T) {
	r := start(t, meshdtest.New(), "1.1.0")
	others := r.set("name", "others")
	mustExec(t, r)
	mustExec(t, r.with("DEL"))
	added := mustExec(t, others)
	const want = "c1+veth"
	for name, late := range map[string]run{"DEL": r.with("DEL"), "GC": r.with("GC").set("cni.dev/valid-attachments", alive())} {
		mustExec(t, late)
		if got := held(t, r); got != want {
			t.Errorf("after %s of the network that it was on before there is %q, want %q", name, got, want)
		}
	}
	mustExec(t, others.with("CHECK").set("prevResult", json.RawMessage(added)))
}
