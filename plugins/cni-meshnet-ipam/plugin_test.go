package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/meshdtest"
)

// TestMain lets the test binary be the plugin, when it is called by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cni-meshnet-ipam" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run is one run of the plugin, as a plugin that delegates makes it.
type run struct {
	id, ifname, args string
	version          string
	ipam, more       map[string]any // more is beside ipam
}

// plugin is a meshd and what is run against it.
type plugin struct {
	*meshdtest.Backend
	socket string
	run
}

func start(t *testing.T, version string) plugin {
	t.Helper()
	b := meshdtest.New()
	socket := meshdtest.Start(t, b)
	return plugin{b, socket, run{id: "c1", ifname: "eth0", version: version, ipam: map[string]any{"network": "homes"}}}
}

// with returns p with another key in ipam.
func (p plugin) with(key string, value any) plugin {
	p.ipam = map[string]any{key: value}
	p.ipam["network"] = "homes"
	if key == "network" {
		p.ipam["network"] = value
	}
	return p
}

// beside returns p with another key beside ipam.
func (p plugin) beside(key string, value any) plugin {
	more := map[string]any{key: value}
	for k, v := range p.more {
		if k != key {
			more[k] = v
		}
	}
	p.more = more
	return p
}

// exec returns what the plugin prints for a command. The error is a *types.Error.
func (p plugin) exec(t *testing.T, command string) (stdout []byte, err error) {
	t.Helper()
	conf := map[string]any{"cniVersion": p.version, "name": "lan", "type": "bridge", "bridge": "br0"}
	if p.ipam != nil {
		ipam := map[string]any{"type": "cni-meshnet-ipam", "socket": p.socket}
		for k, v := range p.ipam {
			ipam[k] = v
		}
		conf["ipam"] = ipam
	}
	for k, v := range p.more {
		conf[k] = v
	}
	stdin, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := &exec.Cmd{
		Path: self, Args: []string{"cni-meshnet-ipam"}, Stdin: bytes.NewReader(stdin), Stderr: &stderr,
		Env: []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + p.id, "CNI_NETNS=/run/netns/" + p.id, "CNI_IFNAME=" + p.ifname,
			"CNI_PATH=/opt/cni/bin", "CNI_ARGS=" + p.args, "GORACE=atexit_sleep_ms=0"},
	}
	stdout, err = cmd.Output()
	if stderr.Len() > 0 {
		t.Errorf("%s wrote to standard error: %s", command, stderr.String())
	}
	if err == nil {
		return stdout, nil
	}
	e := new(types.Error)
	if jerr := json.Unmarshal(stdout, e); jerr != nil {
		t.Fatalf("%s failed and printed %q, want an error as JSON", command, stdout)
	}
	return nil, e
}

func (p plugin) must(t *testing.T, command string) []byte {
	t.Helper()
	out, err := p.exec(t, command)
	if err != nil {
		t.Fatalf("%s = %v", command, err)
	}
	return out
}

// add returns the addresses of ADD.
func (p plugin) add(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, ip := range result(t, p.version, p.must(t, "ADD")).IPs {
		list = append(list, ip.Address.String())
	}
	return list
}

// refused says that a command fails with a code and a text and leaves no lease.
func (p plugin) refused(t *testing.T, command string, code uint, want string) {
	t.Helper()
	_, err := p.exec(t, command)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Msg+"; "+e.Details, want) {
		t.Errorf("%s = %+v, want code %d with %q", command, err, code, want)
	}
	if got := p.held(t); got != "" {
		t.Errorf("after the error there are leases of %s", got)
	}
}

// held returns the interfaces that have a lease.
func (p plugin) held(t *testing.T) string {
	t.Helper()
	list, err := p.Attachments(context.Background(), "homes")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Container+"/"+a.IfName)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func result(t *testing.T, version string, out []byte) *types100.Result {
	t.Helper()
	r, err := create.Create(version, out)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := types100.NewResultFromResult(r)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}

// "The IPAM plugin's result omits interfaces", and has what the configuration says to pass on.
func TestResult(t *testing.T) {
	p := start(t, "1.1.0")
	p.ipam = map[string]any{"network": "homes", "gateway": []any{"10.77.0.1", "fd00:1:2::1"},
		"routes": []any{map[string]any{"dst": "0.0.0.0/0"}}, "dns": map[string]any{"nameservers": []any{"192.0.2.53"}}}
	r := result(t, "1.1.0", p.must(t, "ADD"))
	if len(r.Interfaces) != 0 || len(r.IPs) != 2 || len(r.Routes) != 1 || len(r.DNS.Nameservers) != 1 {
		t.Fatalf("result is %+v", r)
	}
	for _, ip := range r.IPs {
		if want := map[bool]string{true: "10.77.0.1", false: "fd00:1:2::1"}[ip.Address.IP.To4() != nil]; ip.Gateway.String() != want || ip.Interface != nil {
			t.Errorf("%v has gateway %v, want %s", ip.Address.String(), ip.Gateway, want)
		}
	}
}

// Without gateway it is what the network keeps for one; an empty list is none.
func TestDefaultGateway(t *testing.T) {
	for name, row := range map[string]struct {
		pool    api.Pool
		gateway any
		want    string
	}{
		"after the first": {want: "fd00:1:2::1 10.77.0.1"},
		"the pool's":      {pool: api.Pool{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Gateway: netip.MustParseAddr("10.77.0.254")}, want: "fd00:1:2::1 10.77.0.254"},
		"own":             {gateway: "10.77.0.253", want: "<nil> 10.77.0.253"},
		"none":            {gateway: []any{}, want: "<nil> <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "1.0.0")
			if row.pool.Prefix.IsValid() {
				p.Net.Pools = []api.Pool{row.pool}
			}
			if row.gateway != nil {
				p = p.with("gateway", row.gateway)
			}
			var got []string
			for _, ip := range result(t, "1.0.0", p.must(t, "ADD")).IPs {
				got = append(got, ip.Gateway.String())
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("gateways are %v, want %s", got, row.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	p := start(t, "1.0.0")
	if got := p.with("ipv6", false).add(t); len(got) != 1 || !strings.HasPrefix(got[0], "10.77.0.") || !strings.HasSuffix(got[0], "/16") {
		t.Errorf("without IPv6 it is %v", got)
	}
	p.id = "c2"
	if got := p.with("ipv4", false).add(t); len(got) != 1 || !strings.HasPrefix(got[0], "fd00:1:2:") {
		t.Errorf("without IPv4 it is %v", got)
	}
}

func TestCheck(t *testing.T) {
	p := start(t, "1.0.0")
	p = p.beside("prevResult", json.RawMessage(p.must(t, "ADD")))
	p.must(t, "CHECK")
	p.Lose("c1", "eth0")
	if _, err := p.exec(t, "CHECK"); err == nil || !strings.Contains(err.Error(), "is this host's no more") {
		t.Errorf("CHECK of a lost address = %v", err)
	}
	p.must(t, "DEL")
	var e *types.Error
	if _, err := p.exec(t, "CHECK"); !errors.As(err, &e) || e.Code != cni.CodeCheck {
		t.Errorf("CHECK after DEL = %v, want code %d", err, cni.CodeCheck)
	}
	other := p.beside("prevResult", map[string]any{"cniVersion": "1.0.0", "ips": []any{map[string]any{"address": "192.0.2.1/24"}}})
	other.must(t, "ADD")
	if _, err := other.exec(t, "CHECK"); err == nil || !strings.Contains(err.Error(), "prevResult lacks address") {
		t.Errorf("CHECK of another's prevResult = %v", err)
	}
}

// GC is about this plugin's leases of this CNI network; DEL and ADD leave those of others alone.
func TestScope(t *testing.T) {
	p := start(t, "1.1.0")
	ctx := context.Background()
	for id, source := range map[string]api.Source{"lxc": api.SourceLXC, "cni": api.SourceCNI} {
		if _, err := p.Attach(ctx, api.AttachRequest{Network: "homes", Container: id, IfName: "eth0",
			AttachOptions: api.AttachOptions{Source: source, CNINetwork: "lan"}}); err != nil {
			t.Fatal(err)
		}
		other := p
		other.id = id
		if _, err := other.exec(t, "ADD"); err == nil || !strings.Contains(err.Error(), "detach it first") {
			t.Errorf("ADD for what %s has attached = %v, want a conflict", source, err)
		}
		other.must(t, "DEL")
	}
	for _, id := range []string{"c1", "c2"} {
		next := p
		next.id = id
		next.must(t, "ADD")
	}
	elsewhere := p.beside("name", "others")
	elsewhere.id = "c3"
	elsewhere.must(t, "ADD")
	p.must(t, "GC")
	p.beside("cni.dev/valid-attachments", nil).must(t, "GC")
	if got, want := p.held(t), "c1/eth0 c2/eth0 c3/eth0 cni/eth0 lxc/eth0"; got != want {
		t.Fatalf("before GC there is %s, want %s", got, want)
	}
	p.beside("cni.dev/valid-attachments", []any{map[string]any{"containerID": "c2", "ifname": "eth0"}}).must(t, "GC")
	if got, want := p.held(t), "c2/eth0 c3/eth0 cni/eth0 lxc/eth0"; got != want {
		t.Errorf("after GC there is %s, want %s", got, want)
	}
}

func TestStatus(t *testing.T) {
	p := start(t, "1.1.0")
	p.must(t, "STATUS")
	p.NoIPv4 = "no free block"
	p.refused(t, "STATUS", types.ErrPluginNotAvailable, "no free block")
	p.with("ipv4", false).must(t, "STATUS")
	p.with("network", "nope").refused(t, "STATUS", types.ErrPluginNotAvailable, `there is no network "nope"`)
}

// Every field of ipam, wrong in turn.
func TestBadFields(t *testing.T) {
	for _, row := range []struct {
		key   string
		value any
		code  uint
		want  string
	}{
		{"network", 1, types.ErrDecodingFailure, "ipam.network must be a string"},
		{"network", "nope", types.ErrInvalidNetworkConfig, `there is no network "nope"`},
		{"socket", 1, types.ErrDecodingFailure, "ipam.socket must be a string"},
		{"socket", "/nonexistent", types.ErrTryAgainLater, "is meshd running?"},
		{"ipv4", "no", types.ErrDecodingFailure, "ipam.ipv4 must be true or false"},
		{"ipv6", 1, types.ErrDecodingFailure, "ipam.ipv6 must be true or false"},
		{"gateway", "x", types.ErrInvalidNetworkConfig, `gateway "x" is not an address`},
		{"gateway", "192.0.2.1", types.ErrInvalidNetworkConfig, "the gateway 192.0.2.1 is in the subnet of none"},
		{"routes", "x", types.ErrDecodingFailure, "ipam.routes must be a list"},
		{"routes", []any{nil}, types.ErrInvalidNetworkConfig, "a route is null"},
		{"dns", []any{}, types.ErrDecodingFailure, "ipam.dns must be an object"},
		{"subnet", "10.0.0.0/8", types.ErrInvalidNetworkConfig, `ipam: unknown key "subnet"; those of this plugin are dns, gateway,`},
	} {
		t.Run(row.key, func(t *testing.T) {
			start(t, "1.0.0").with(row.key, row.value).refused(t, "ADD", row.code, row.want)
		})
	}
	p := start(t, "1.0.0")
	p.ipam = map[string]any{"network": "homes", "ipv4": false, "ipv6": false}
	p.refused(t, "ADD", types.ErrInvalidNetworkConfig, "ipv4 and ipv6 are both false")
	p = start(t, "1.0.0")
	p.id = strings.Repeat("c", 300)
	p.refused(t, "ADD", types.ErrInvalidEnvironmentVariables, "has 300 bytes")
	p.must(t, "DEL")
	p = start(t, "1.0.0")
	p.args = "MAC=02:00:00:00:00:01;x=1"
	p.refused(t, "ADD", types.ErrInvalidEnvironmentVariables, `unknown key "x"`)
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"lan","ipam":{"type":"cni-meshnet-ipam","gateway":["10.77.0.1"],"routes":[{"dst":"::/0"}]}}`))
	f.Add([]byte(`{"ipam":null}`))
	f.Add([]byte(`{"ipam":{},"prevResult":{"ips":[null]}}`))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		c, err := parseKnown(stdin)
		if err == nil {
			_, err = c.previous()
		}
		if err == nil {
			_, err = c.result(api.Attachment{}, nil)
		}
		if err != nil && !errors.As(err, new(*types.Error)) {
			t.Errorf("error %v of %q has no code", err, stdin)
		}
	})
}
