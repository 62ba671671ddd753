package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/meshdtest"
)

// refused says that ADD fails with a code and a text, in little time, and leaves nothing.
func refused(t *testing.T, r run, code uint, want string) {
	t.Helper()
	began := time.Now()
	_, err := r.exec(t)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%s took %v", r.command, took)
	}
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Msg+"; "+e.Details, want) {
		t.Errorf("%s = %+v, want code %d with %q", r.command, err, code, want)
	}
	if got := held(t, r); got != "" {
		t.Errorf("%s has a lease", got)
	}
}

// Every field of the configuration, wrong in turn.
func TestBadFields(t *testing.T) {
	rows := []struct {
		field string // with dots
		value any
		code  uint
		want  string
	}{
		{"cniVersion", 1, types.ErrDecodingFailure, "cniVersion"},
		{"cniVersion", "1.0", types.ErrIncompatibleCNIVersion, "incompatible CNI versions"},
		{"cniVersion", "x", types.ErrIncompatibleCNIVersion, "incompatible CNI versions"},
		{"name", 1, types.ErrDecodingFailure, "name"},
		{"name", "", types.ErrInvalidNetworkConfig, "missing network name"},
		{"name", "a/b", types.ErrInvalidNetworkConfig, "invalid characters"},
		{"name", strings.Repeat("n", 256), types.ErrInvalidNetworkConfig, "cni_network has 256 bytes"},
		{"type", []any{}, types.ErrDecodingFailure, "type must be a string, not: array"},
		{"network", 1, types.ErrDecodingFailure, "network must be a string, not: number"},
		{"network", "Homes", types.ErrInvalidNetworkConfig, "capital letter"},
		{"network", "../homes", types.ErrInvalidNetworkConfig, "network"},
		{"socket", 1, types.ErrDecodingFailure, "socket must be a string"},
		{"mtu", true, types.ErrDecodingFailure, "mtu must be a whole number, not: bool"},
		{"mtu", 1e30, types.ErrDecodingFailure, "mtu must be a whole number"},
		{"mtu", -1, types.ErrInvalidNetworkConfig, "mtu is -1"},
		{"mtu", 100, types.ErrInvalidNetworkConfig, "MTU 100"},
		{"ipv4", 1, types.ErrDecodingFailure, "ipv4 must be true or false, not: number"},
		{"ipv6", "no", types.ErrDecodingFailure, "ipv6 must be true or false, not: string"},
		{"mac", 2, types.ErrDecodingFailure, "mac must be a string"},
		{"mac", "02:00", types.ErrInvalidNetworkConfig, `MAC address that is asked for, "02:00", is none`},
		{"mac", "02:00:00:00:00:00:00:01", types.ErrInvalidNetworkConfig, "is none"},
		{"mac", "01:00:5e:00:00:01", types.ErrInvalidNetworkConfig, "none that an interface can have"},
		{"mac", "00:00:00:00:00:00", types.ErrInvalidNetworkConfig, "none that an interface can have"},
		{"gateway", 1, types.ErrDecodingFailure, "a list"},
		{"gateway", "10.77.0.1/16", types.ErrInvalidNetworkConfig, `gateway "10.77.0.1/16" is not an address`},
		{"gateway", "fe80::1%eth0", types.ErrInvalidNetworkConfig, "is not an address"},
		{"gateway", []any{"10.77.0.1", "10.77.0.2"}, types.ErrInvalidNetworkConfig, "one of each family"},
		{"gateway", []any{"10.77.0.1", "fd00:1:2::1", "10.77.0.2"}, types.ErrInvalidNetworkConfig, "one of each family"},
		{"isDefaultGateway", "yes", types.ErrDecodingFailure, "isDefaultGateway must be true or false"},
		{"routes", obj(), types.ErrDecodingFailure, "routes must be a list, not: object"},
		{"routes", []any{nil}, types.ErrInvalidNetworkConfig, "a route is null"},
		{"routes", []any{obj()}, types.ErrInvalidNetworkConfig, "a route has no dst"},
		{"routes", []any{obj("dst", "10.0.0.0")}, types.ErrDecodingFailure, "invalid CIDR address"},
		{"routes", []any{obj("dst", "10.0.0.0/8", "gw", "fd00::1")}, types.ErrInvalidNetworkConfig, "none of its family"},
		{"routes", []any{obj("dst", "10.0.0.0/8", "mtu", -1)}, types.ErrInvalidNetworkConfig, "negative mtu"},
		{"routes", []any{obj("dst", "10.0.0.0/8", "scope", 300)}, types.ErrInvalidNetworkConfig, "scope 300"},
		{"routes", []any{obj("dst", "192.0.2.0/24", "gw", "203.0.113.1")}, cni.CodeInterface, "192.0.2.0/24"},
		{"aliases", "www", types.ErrDecodingFailure, "aliases must be a list"},
		{"aliases", []any{"a b"}, types.ErrInvalidNetworkConfig, `alias "a b"`},
		{"aliases", []any{""}, types.ErrInvalidNetworkConfig, "has 0 bytes"},
		{"bandwidth", 1, types.ErrDecodingFailure, "bandwidth must be an object"},
		{"bandwidth.ingressRate", -1, types.ErrDecodingFailure, "bandwidth.ingressRate must be a whole number, not negative"},
		{"bandwidth.ingressRate", 1000, types.ErrInvalidNetworkConfig, "bandwidth: ingress: rate and burst must both be given"},
		{"bandwidth.egressBurst", 100000, types.ErrInvalidNetworkConfig, "bandwidth: egress: rate and burst must both be given"},
		{"dns", "192.0.2.1", types.ErrDecodingFailure, "dns must be an object"},
		{"dns.nameservers", "192.0.2.1", types.ErrDecodingFailure, "dns.nameservers must be a list"},
		{"ipam", "host-local", types.ErrDecodingFailure, "ipam must be an object whose type is a string"},
		{"ipam.type", 1, types.ErrDecodingFailure, "ipam must be an object whose type is a string"},
		{"ipam.type", "nowhere", types.ErrInvalidNetworkConfig, `IPAM plugin nowhere: failed to find plugin "nowhere"`},
		{"ipam.type", "../bin/x", types.ErrInvalidNetworkConfig, "invalid plugin name"},
		{"ipam.type", "cni-meshnet-ipam", types.ErrInvalidNetworkConfig, "leave ipam out"},
		{"args", 1, types.ErrDecodingFailure, "args must be an object"},
		{"args.cni", 1, types.ErrDecodingFailure, "args.cni must be an object"},
		{"args.cni.ips", "10.77.0.9", types.ErrDecodingFailure, "args.cni.ips must be a list"},
		{"args.cni.ips", []any{"10.77.0.x"}, types.ErrInvalidNetworkConfig, `"10.77.0.x", is none`},
		{"args.cni.mac", 1, types.ErrDecodingFailure, "args.cni.mac must be a string"},
		{"runtimeConfig", []any{}, types.ErrDecodingFailure, "runtimeConfig must be an object"},
		{"runtimeConfig.ips", []any{1}, types.ErrDecodingFailure, "runtimeConfig.ips must be a string"},
		{"runtimeConfig.ips", []any{"0.0.0.0"}, types.ErrInvalidNetworkConfig, "which no container can have"},
		{"runtimeConfig.ips", []any{"224.0.0.1"}, types.ErrInvalidNetworkConfig, "which no container can have"},
		{"runtimeConfig.ips", []any{"10.77.0.1", "10.77.0.2"}, types.ErrInvalidNetworkConfig, "one IPv4 address of its choice"},
		{"runtimeConfig.mac", "x", types.ErrInvalidNetworkConfig, "is none"},
		{"runtimeConfig.aliases", 1, types.ErrDecodingFailure, "a list"},
		{"runtimeConfig.bandwidth.egressRate", "1M", types.ErrDecodingFailure, "egressRate must be a whole number"},
		{"runtimeConfig.dns.servers", 1, types.ErrDecodingFailure, "runtimeConfig.dns.servers must be a list"},
		{"prevResult", 1, types.ErrDecodingFailure, "prevResult must be an object"},
		{"prevResult.cniVersion", "9.9.9", types.ErrDecodingFailure, "cannot read prevResult"},
		{"plugins", []any{}, types.ErrInvalidNetworkConfig, `unknown key "plugins"`},
	}
	for _, row := range rows {
		value, _ := json.Marshal(row.value)
		t.Run(row.field+" "+string(value)[:min(40, len(value))], func(t *testing.T) {
			r := start(t, meshdtest.New(), "1.0.0")
			path := strings.Split(row.field, ".")
			v := row.value
			for i := len(path) - 1; i > 0; i-- {
				v = obj(path[i], v)
			}
			if row.field == "prevResult.cniVersion" {
				v = obj("cniVersion", row.value, "ips", []any{})
			}
			refused(t, r.set(path[0], v), row.code, row.want)
		})
	}
}

// Standard input that nobody should write: too deep, too much, cut off, none.
func TestBadStdin(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0")
	good, err := json.Marshal(r.conf)
	if err != nil {
		t.Fatal(err)
	}
	with := func(more string) []byte {
		return append(bytes.TrimSuffix(bytes.Clone(good), []byte("}")), ","+more+"}"...)
	}
	rows := map[string]struct {
		text []byte
		code uint
		want string
	}{
		"nothing":               {[]byte(""), types.ErrDecodingFailure, "unexpected end of JSON input"},
		"null":                  {[]byte("null"), types.ErrInvalidNetworkConfig, "missing network name"},
		"a list":                {[]byte("[]"), types.ErrDecodingFailure, "cannot unmarshal array"},
		"cut off":               {good[:len(good)/2], types.ErrDecodingFailure, "unexpected end of JSON input"},
		"two objects":           {append(bytes.Clone(good), good...), types.ErrDecodingFailure, "after top-level value"},
		"a million lists":       {with(`"routes":` + strings.Repeat("[", 1_000_000)), types.ErrDecodingFailure, "exceeded max depth"},
		"deep, closed":          {with(`"cni.dev/x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), types.ErrDecodingFailure, "exceeded max depth"},
		"deep objects":          {with(`"args":` + strings.Repeat(`{"cni":`, 100_000)), types.ErrDecodingFailure, "exceeded max depth"},
		"10 MB":                 {with(`"cni.dev/x":"` + strings.Repeat("x", 10<<20) + `"`), types.ErrDecodingFailure, "more than 4194304 bytes"},
		"10 MB of space":        {append(bytes.Repeat([]byte(" "), 10<<20), good...), types.ErrDecodingFailure, "more than 4194304 bytes"},
		"not UTF-8, not JSON":   {bytes.Repeat([]byte{0xff}, 1000), types.ErrDecodingFailure, "invalid character"},
		"100,000 addresses":     {with(`"runtimeConfig":{"ips":["10.77.0.9"` + strings.Repeat(`,"10.77.0.9"`, 100_000) + `]}`), types.ErrInvalidNetworkConfig, "one IPv4 address"},
		"100,000 unknown":       {with(strings.TrimSuffix(strings.Repeat(`"x":1,`, 100_000), ",")), types.ErrInvalidNetworkConfig, `unknown key "x"`},
		"escapes of a terminal": {with(`"\u001b[2J":1`), types.ErrInvalidNetworkConfig, `unknown key "\x1b[2J"`},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			r := r
			r.text = row.text
			refused(t, r, row.code, row.want)
		})
	}
	r.text = with(`"cni.dev/x":"` + strings.Repeat("x", 3<<20) + `"`) // as much as that is none of our business
	mustExec(t, r)
}

// The environment: namespaces that are none, names that cannot be, CNI_ARGS that want to be something else.
func TestBadEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(change func(*run)) func(run) run {
		return func(r run) run { change(&r); return r }
	}
	rows := []struct {
		name   string
		change func(run) run
		code   uint
		want   string
	}{
		{"netns: none", set(func(r *run) { r.netns = "" }), types.ErrInvalidEnvironmentVariables, "CNI_NETNS"},
		{"netns: a regular file", set(func(r *run) { r.netns = file }), types.ErrInvalidNetNS, "it is something else"},
		{"netns: a directory", set(func(r *run) { r.netns = "/tmp" }), types.ErrInvalidNetNS, "it is something else"},
		{"netns: a device", set(func(r *run) { r.netns = "/dev/zero" }), types.ErrInvalidNetNS, "it is something else"},
		{"netns: of another kind", set(func(r *run) { r.netns = "/proc/self/ns/mnt" }), types.ErrInvalidNetNS, "it is something else"},
		{"netns: the host's own", set(func(r *run) { r.netns = "/proc/self/ns/net" }), types.ErrInvalidNetNS, "the host's own"},
		{"netns: gone", set(func(r *run) { r.netns = "/run/netns/none" }), types.ErrInvalidNetNS, "there is no such network namespace"},
		{"netns: too long", set(func(r *run) { r.netns = "/" + strings.Repeat("x", 5000) }), cni.CodeMeshd, "file name too long"},
		{"container: a path", set(func(r *run) { r.id = "../../etc/passwd" }), types.ErrInvalidEnvironmentVariables, "invalid characters in containerID"},
		{"container: a slash", set(func(r *run) { r.id = "a/b" }), types.ErrInvalidEnvironmentVariables, "invalid characters in containerID"},
		{"container: 300 characters", set(func(r *run) { r.id = strings.Repeat("c", 300) }), types.ErrInvalidEnvironmentVariables,
			"CNI_CONTAINERID: the container ID has 300 bytes; at most 256 are allowed"},
		{"container: none", set(func(r *run) { r.id = "" }), types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID"},
		{"interface: taken", set(func(r *run) { r.ifname = "lo" }), cni.CodeExists, "has an interface of that name already"},
		{"interface: too long", set(func(r *run) { r.ifname = "sixteen-letters-" }), types.ErrInvalidEnvironmentVariables, "interface name"},
		{"interface: slash", set(func(r *run) { r.ifname = "a/b" }), types.ErrInvalidEnvironmentVariables, "interface name"},
		{"interface: dots", set(func(r *run) { r.ifname = ".." }), types.ErrInvalidEnvironmentVariables, "interface name"},
		{"interface: a pattern", set(func(r *run) { r.ifname = "eth%d" }), types.ErrInvalidNetworkConfig, "'%'"},
		{"interface: all", set(func(r *run) { r.ifname = "all" }), types.ErrInvalidNetworkConfig, "the kernel keeps"},
		{"args: not pairs", set(func(r *run) { r.args = "IP" }), types.ErrInvalidEnvironmentVariables, `CNI_ARGS: "IP" is not KEY=VALUE`},
		{"args: no key", set(func(r *run) { r.args = "=1" }), types.ErrInvalidEnvironmentVariables, "is not KEY=VALUE"},
		{"args: unknown", set(func(r *run) { r.args = "K8S_POD_NAME=x" }), types.ErrInvalidEnvironmentVariables, `unknown key "K8S_POD_NAME"; IgnoreUnknown=1`},
		{"args: unknown, not ignored", set(func(r *run) { r.args = "IgnoreUnknown=0;x=1" }), types.ErrInvalidEnvironmentVariables, `unknown key "x"`},
		{"args: IgnoreUnknown", set(func(r *run) { r.args = "IgnoreUnknown=maybe" }), types.ErrInvalidEnvironmentVariables, "neither true nor false"},
		{"args: a second IP", set(func(r *run) { r.args = "IgnoreUnknown=1;IP=10.77.0.8;K8S_POD_NAME=a;IP=10.77.0.9" }),
			types.ErrInvalidEnvironmentVariables, `"IP" is there twice`},
		{"args: a MAC that is none", set(func(r *run) { r.args = "MAC=$(id)" }), types.ErrInvalidNetworkConfig, `"$(id)", is none`},
		{"args: an IP that is none", set(func(r *run) { r.args = "IP=10.77.0.9\n" + `","network":"x` }), types.ErrInvalidNetworkConfig, "one IPv4 address of its choice"},
		{"args: long", set(func(r *run) { r.args = strings.Repeat("x", 100_000) }), types.ErrInvalidEnvironmentVariables, "is not KEY=VALUE"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			refused(t, row.change(start(t, meshdtest.New(), "1.0.0")), row.code, row.want)
		})
	}
}

// An interface of the same name as another's, in the same container, is refused, and the first one stays.
func TestSameInterfaceTwice(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0")
	out := mustExec(t, r)
	for _, id := range []string{"c1", "c2"} {
		second := r
		second.id = id
		_, err := second.exec(t)
		var e *types.Error
		if !errors.As(err, &e) || e.Code != cni.CodeExists {
			t.Errorf("ADD of %s/eth0 = %v, want code %d", id, err, cni.CodeExists)
		}
	}
	mustExec(t, r.with("CHECK").set("prevResult", json.RawMessage(out)))
	if got := held(t, r); got != "c1+veth" {
		t.Errorf("there is %s, want c1 alone", got)
	}
}

// "DEL … should complete without error even if some resources are missing": whatever they are called.
func TestDelOfWhatCannotBe(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0").with("DEL")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, netns := range []string{"", "/run/netns/none", file, "/proc/self/ns/mnt"} {
		r.netns = netns
		mustExec(t, r)
	}
	r.id = strings.Repeat("c", 300)
	mustExec(t, r)
	r.args = "K8S_POD_NAME=x;;=;IP=x"
	mustExec(t, r)
}

// Without an address there is no place on the overlay.
func TestBothFamiliesOff(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0").set("ipv4", false).set("ipv6", false)
	refused(t, r, types.ErrInvalidNetworkConfig, "ipv4 and ipv6 are both false")
}
