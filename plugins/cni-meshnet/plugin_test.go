package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/meshdtest"
)

// TestMain lets the test binary be the plugin, when it is called by its name.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "cni-meshnet":
		main()
		return
	case fakeIPAM:
		fakeMain()
		return
	}
	os.Exit(m.Run())
}

// run is one run of the plugin, as a runtime makes it.
type run struct {
	command, id, netns, ifname string
	conf                       map[string]any
	args                       string // CNI_ARGS
	path                       string // CNI_PATH; "": /opt/cni/bin
	socket                     string // of meshd
	text                       []byte // standard input instead of conf
}

// exec runs the plugin in the calling thread's namespace. The error is what it printed, as a *types.Error.
func (r run) exec(t *testing.T) (stdout []byte, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdin := r.text
	if stdin == nil {
		if stdin, err = json.Marshal(r.conf); err != nil {
			t.Fatal(err)
		}
	}
	if r.path == "" {
		r.path = "/opt/cni/bin"
	}
	cmd := &exec.Cmd{
		Path: self, Args: []string{"cni-meshnet"}, Stdin: bytes.NewReader(stdin), Stderr: os.Stderr,
		Env: []string{
			"CNI_COMMAND=" + r.command, "CNI_CONTAINERID=" + r.id, "CNI_NETNS=" + r.netns, "CNI_IFNAME=" + r.ifname,
			"CNI_PATH=" + r.path, "CNI_ARGS=" + r.args,
			"GORACE=atexit_sleep_ms=0", // the race detector's default is to wait a second at exit
		},
	}
	stdout, err = cmd.Output()
	if err == nil {
		return stdout, nil
	}
	e := new(types.Error)
	if jerr := json.Unmarshal(stdout, e); jerr != nil {
		t.Fatalf("%s failed and printed %q, want an error as JSON", r.command, stdout)
	}
	return nil, e
}

// with returns r with another command.
func (r run) with(command string) run {
	r.command = command
	return r
}

// set returns r with another key in its configuration; nil removes the key.
func (r run) set(key string, value any) run {
	conf := map[string]any{}
	for k, v := range r.conf {
		conf[k] = v
	}
	if conf[key] = value; value == nil {
		delete(conf, key)
	}
	r.conf = conf
	return r
}

// start makes a host with a meshd and a container, and the ADD for it.
func start(t *testing.T, b *meshdtest.Backend, version string) run {
	t.Helper()
	meshdtest.Host(t)
	path, _ := meshdtest.Container(t)
	socket := meshdtest.Start(t, b)
	return run{command: "ADD", id: "c1", netns: path, ifname: "eth0", socket: socket, conf: map[string]any{
		"cniVersion": version, "name": "homes", "type": "cni-meshnet",
		"network": "homes", "socket": socket, "mtu": 1400,
	}}
}

func mustExec(t *testing.T, r run) []byte {
	t.Helper()
	out, err := r.exec(t)
	if err != nil {
		t.Fatalf("%s = %v", r.command, err)
	}
	return out
}

func TestVersions(t *testing.T) {
	for _, version := range []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			b := meshdtest.New()
			b.Routes = []api.Route{{Dst: netip.MustParsePrefix("fd00:9::/48"), Gateway: netip.MustParseAddr("fd00:1:2::1")}}
			r := start(t, b, version)
			out := mustExec(t, r)
			checkResult(t, out, version, r.netns)
			chained := r.set("prevResult", json.RawMessage(out))
			if version > "0.4" {
				mustExec(t, chained.with("CHECK"))
			}
			if version == "1.1.0" {
				mustExec(t, r.with("STATUS"))
			}
			for range 2 { // "DEL is idempotent"
				mustExec(t, chained.with("DEL"))
			}
			gone := chained.with("DEL")
			gone.netns = "" // containerd's second DEL
			mustExec(t, gone)
			gone.netns = "/run/netns/none"
			mustExec(t, gone)
		})
	}
}

// checkResult checks the result of ADD for c1/eth0.
func checkResult(t *testing.T, out []byte, version, netns string) {
	t.Helper()
	var result struct {
		CNIVersion string
		Interfaces []types100.Interface
		IPs        []struct {
			Interface *int
			Address   string
			Gateway   string
		}
		Routes []struct{ Dst, GW string }
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("ADD printed %s: %v", out, err)
	}
	if result.CNIVersion != version {
		t.Errorf("cniVersion = %s, want %s", result.CNIVersion, version)
	}
	if len(result.Interfaces) != 2 || len(result.IPs) != 2 || len(result.Routes) != 1 {
		t.Fatalf("ADD printed %s, want 2 interfaces, 2 addresses, 1 route", out)
	}
	host, eth0 := result.Interfaces[0], result.Interfaces[1]
	if host.Sandbox != "" || host.Mac == "" || !strings.HasPrefix(host.Name, "mn") {
		t.Errorf("host end = %+v", host)
	}
	if eth0.Name != "eth0" || eth0.Sandbox != netns || eth0.Mac == "" || version == "1.1.0" && eth0.Mtu != 1400 {
		t.Errorf("container end = %+v", eth0)
	}
	for i, want := range []string{"fd00:1:2:", "10.77.0."} {
		ip := result.IPs[i]
		if ip.Interface == nil || *ip.Interface != 1 || !strings.HasPrefix(ip.Address, want) || ip.Gateway != "" {
			t.Errorf("address = %+v, want %s… on interface 1 without gateway", ip, want)
		}
	}
	if ip := result.IPs[1]; !strings.HasSuffix(ip.Address, "/16") {
		t.Errorf("address = %+v, want the length of its subnet", ip)
	}
	if r := result.Routes[0]; r.Dst != "fd00:9::/48" || r.GW != "fd00:1:2::1" {
		t.Errorf("route = %+v, want fd00:9::/48 by fd00:1:2::1", r)
	}
}

func TestErrors(t *testing.T) {
	rows := []struct {
		name    string
		command string
		change  func(*meshdtest.Backend, run) run
		code    uint
		want    string // a part of message or details
	}{
		{"unknown network", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("network", "nope") },
			types.ErrInvalidNetworkConfig, `attaching c1/eth0: there is no network "nope" on this host, only homes; `},
		{"mtu of the wrong type", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("mtu", "1400") },
			types.ErrDecodingFailure, "cannot read the network configuration; mtu must be a whole number, not: string"},
		{"fraction", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("mtu", 1400.5) },
			types.ErrDecodingFailure, "; mtu must be a whole number, not: number 1400.5"},
		{"dns of the wrong type", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("dns", []any{}) },
			types.ErrDecodingFailure, "; dns must be an object, not: array"},
		{"unknown key", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("netwrk", "homes") },
			types.ErrInvalidNetworkConfig, `unknown key "netwrk"; those of this plugin are aliases, `},
		{"unknown key", "STATUS", func(_ *meshdtest.Backend, r run) run { return r.set("Network", "homes") },
			types.ErrInvalidNetworkConfig, `unknown key "Network"`},
		{"a whole list", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("plugins", []any{}) },
			types.ErrInvalidNetworkConfig, `unknown key "plugins"`},
		{"mtu of another size", "ADD", func(b *meshdtest.Backend, r run) run {
			b.Fail = api.Errorf(api.Invalid, "MTU 9000 is more than the network's 1500")
			return r
		}, types.ErrInvalidNetworkConfig, "attaching c1/eth0: MTU 9000 is more than the network's 1500; "},
		{"negative mtu", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("mtu", -1) },
			types.ErrInvalidNetworkConfig, "mtu is -1"},
		{"another version", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("cniVersion", "2.0.0") },
			types.ErrIncompatibleCNIVersion, "2.0.0"},
		{"no interface name", "ADD", func(_ *meshdtest.Backend, r run) run { r.ifname = ""; return r },
			types.ErrInvalidEnvironmentVariables, "CNI_IFNAME"},
		{"ipv4 of the wrong type", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("ipv4", "none") },
			types.ErrDecodingFailure, "ipv4"},
		{"address that is none", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("runtimeConfig", ips("10.77.0.x")) },
			types.ErrInvalidNetworkConfig, `"10.77.0.x", is none`},
		{"address in use", "ADD", func(b *meshdtest.Backend, r run) run {
			b.Fail = api.Errorf(api.Conflict, "10.77.0.9 is in use by web/eth0 on b")
			return r.set("runtimeConfig", ips("10.77.0.9"))
		}, types.ErrInvalidNetworkConfig, "attaching c1/eth0: 10.77.0.9 is in use by web/eth0 on b"},
		{"address outside", "ADD", func(b *meshdtest.Backend, r run) run {
			b.Fail = api.Errorf(api.Invalid, "192.0.2.1 is outside 10.77.0.0/16")
			return r.set("runtimeConfig", ips("192.0.2.1"))
		}, types.ErrInvalidNetworkConfig, "192.0.2.1 is outside 10.77.0.0/16"},
		{"pool exhausted", "ADD", func(b *meshdtest.Backend, r run) run {
			b.Fail = api.Errorf(api.Unavailable, "10.77.0.0/16 has no free block")
			return r
		}, types.ErrTryAgainLater, "10.77.0.0/16 has no free block"},
		{"namespace gone", "ADD", func(_ *meshdtest.Backend, r run) run { r.netns = "/run/netns/none"; return r },
			types.ErrInvalidNetNS, "there is no such network namespace"},
		{"the host's namespace", "ADD", func(_ *meshdtest.Backend, r run) run { r.netns = "/proc/self/ns/net"; return r },
			types.ErrInvalidNetNS, "the host's own"},
		{"interface exists", "ADD", func(_ *meshdtest.Backend, r run) run { r.ifname = "lo"; return r },
			cni.CodeExists, "already"},
		{"no bridge", "ADD", func(b *meshdtest.Backend, r run) run { b.Net.Bridge = "none0"; return r },
			cni.CodeInterface, "there is no bridge none0"},
		{"no meshd", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("socket", "/nonexistent/s") },
			types.ErrTryAgainLater, "is meshd running?"},
		{"no meshd", "DEL", func(_ *meshdtest.Backend, r run) run { return r.set("socket", "/nonexistent/s") },
			types.ErrTryAgainLater, "is meshd running?"},
		{"no meshd", "STATUS", func(_ *meshdtest.Backend, r run) run { return r.set("socket", "/nonexistent/s") },
			types.ErrPluginNotAvailable, "is meshd running?"},
		{"unknown network", "STATUS", func(_ *meshdtest.Backend, r run) run { return r.set("network", "nope") },
			types.ErrPluginNotAvailable, `there is no network "nope"`},
		{"network has failed", "STATUS", func(b *meshdtest.Backend, r run) run {
			b.Net.State, b.Net.Error = api.NetworkFailed, "no /dev/net/tun"
			return r
		}, types.ErrPluginNotAvailable, "network homes is failed: no /dev/net/tun"},
		{"meshd fails", "ADD", func(b *meshdtest.Backend, r run) run { b.Fail = errors.New("disk full"); return r },
			cni.CodeMeshd, "disk full"},
		{"meshd is not ready", "ADD", func(b *meshdtest.Backend, r run) run {
			b.Fail = api.Errorf(api.Unavailable, "starting")
			return r
		}, types.ErrTryAgainLater, "starting"},
		{"no prevResult", "CHECK", func(_ *meshdtest.Backend, r run) run { return r },
			types.ErrInvalidNetworkConfig, "prevResult"},
		{"bad prevResult", "ADD", func(_ *meshdtest.Backend, r run) run { return r.set("prevResult", map[string]any{"ips": 3}) },
			types.ErrDecodingFailure, "prevResult"},
	}
	for _, row := range rows {
		t.Run(row.command+" "+row.name, func(t *testing.T) {
			b := meshdtest.New()
			r := row.change(b, start(t, b, "1.1.0").with(row.command))
			_, err := r.exec(t)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != row.code || !strings.Contains(e.Msg+"; "+e.Details, row.want) {
				t.Errorf("%s = %+v, want code %d with %q", row.command, err, row.code, row.want)
			}
		})
	}
}

// "Other keys are accepted if the specification defines them, without effect. … DEL alone takes everything."
func TestKeysOfTheSpecification(t *testing.T) {
	r := start(t, meshdtest.New(), "1.1.0")
	for key, value := range map[string]any{
		"ipMasq": true, "dns": map[string]any{"nameservers": []any{"192.0.2.53"}}, "capabilities": map[string]any{"mac": true},
		"runtimeConfig": map[string]any{"portMappings": []any{}}, "args": map[string]any{"cni": map[string]any{}}, "cni.dev/attachments": []any{}, "ipam": map[string]any{},
		"cniVersions": []any{"1.1.0"}, "disableCheck": true, "disableGC": true, "loadOnlyInlinedPlugins": true,
	} {
		r = r.set(key, value)
	}
	mustExec(t, r)
	mustExec(t, r.set("netwrk", "x").set("mac", "x").set("gateway", "x").with("DEL"))
}

// "cni-meshnet --version" prints the version.
func TestVersionByHand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{"cni-meshnet", "--version"}, Env: []string{"GORACE=atexit_sleep_ms=0"}}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "cni-meshnet devel\n" {
		t.Errorf("cni-meshnet --version: %v, %q", err, out)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	for family, want := range map[string]string{"-6": "lacks address fd00:1:2:", "-4": "lacks address 10.77.0."} {
		t.Run(family, func(t *testing.T) {
			r := start(t, meshdtest.New(), "1.1.0")
			r = r.set("prevResult", json.RawMessage(mustExec(t, r))).with("CHECK")
			if out, err := exec.Command("nsenter", "--net="+r.netns, "ip", family, "addr", "flush", "dev", "eth0", "scope", "global").CombinedOutput(); err != nil {
				t.Fatalf("removing the address: %v: %s", err, out)
			}
			_, err := r.exec(t)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != cni.CodeCheck || !strings.Contains(e.Msg, want) {
				t.Errorf("CHECK = %v, want code %d with %q", err, cni.CodeCheck, want)
			}
		})
	}
}

// "prevResult passed through and extended when chained."
func TestChained(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0").set("prevResult", map[string]any{
		"cniVersion": "1.0.0",
		"interfaces": []any{map[string]any{"name": "net1", "sandbox": "/x"}},
		"ips":        []any{map[string]any{"interface": 0, "address": "192.0.2.5/24", "gateway": "192.0.2.1"}},
		"routes":     []any{map[string]any{"dst": "0.0.0.0/0"}},
		"dns":        map[string]any{"nameservers": []any{"192.0.2.53"}},
	})
	result, err := types100.NewResult(mustExec(t, r))
	if err != nil {
		t.Fatal(err)
	}
	got := result.(*types100.Result)
	var names []string
	for _, i := range got.Interfaces {
		names = append(names, i.Name)
	}
	if len(names) != 3 || names[0] != "net1" || names[2] != "eth0" {
		t.Errorf("interfaces = %v, want net1, the host end, eth0", names)
	}
	if len(got.IPs) != 3 || *got.IPs[0].Interface != 0 || *got.IPs[1].Interface != 2 || *got.IPs[2].Interface != 2 {
		t.Errorf("ips = %v, want that of net1 on interface 0 and ours on 2", got.IPs)
	}
	if len(got.Routes) != 1 || !slices.Equal(got.DNS.Nameservers, []string{"192.0.2.53"}) {
		t.Errorf("routes = %v, dns = %v, want those of prevResult", got.Routes, got.DNS)
	}
}

func TestVersionCommand(t *testing.T) {
	out := mustExec(t, run{command: "VERSION", conf: map[string]any{"cniVersion": "1.0.0"}})
	if want := `"supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]`; !strings.Contains(string(out), want) {
		t.Errorf("VERSION printed %s, want %s", out, want)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"homes","type":"cni-meshnet","network":"homes","mtu":1400}`))
	f.Add([]byte(`{"cniVersion":"0.4.0","prevResult":{"ips":[{"version":"6","address":"fd00::1/64"}]}}`))
	f.Add([]byte(`{"mtu":1e99}`))
	f.Add([]byte(`{"netwrk":"homes","ipam":{"type":"host-local"}}`))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		c, err := parseConfig(stdin)
		if err == nil {
			err = c.parsePrev()
		}
		if _, err := parseKnown(stdin); err != nil && !errors.As(err, new(*types.Error)) {
			t.Errorf("error %v of %q has no code", err, stdin)
		}
		if err != nil && !errors.As(err, new(*types.Error)) {
			t.Errorf("error %v of %q has no code", err, stdin)
		}
		if err == nil && c.prev != nil {
			c.macOf("eth0", "/x")
			if _, err := c.prev.GetAsVersion("1.1.0"); err != nil {
				t.Error(fmt.Errorf("prevResult of %q: %w", stdin, err))
			}
		}
	})
}
