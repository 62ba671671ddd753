package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/cni"
	"meshnet/plugins/internal/meshdtest"
)

// inside returns what a program in the container prints.
func inside(t *testing.T, netns string, command ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + netns}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
	return string(out)
}

func obj(pairs ...any) map[string]any {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// Of several places that say a MAC address the last counts, and the container, meshd and the result have it.
func TestMAC(t *testing.T) {
	const conf, env, args, runtime = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"
	rows := []struct {
		name   string
		change func(run) run
		want   string
	}{
		{"configuration", func(r run) run { return r }, conf},
		{"CNI_ARGS", func(r run) run { r.args = "MAC=" + env; return r }, env},
		{"args.cni", func(r run) run { r.args = "MAC=" + env; return r.set("args", obj("cni", obj("mac", args))) }, args},
		{"runtimeConfig", func(r run) run {
			r.args = "MAC=" + env
			return r.set("args", obj("cni", obj("mac", args))).set("runtimeConfig", obj("mac", runtime))
		}, runtime},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := row.change(start(t, meshdtest.New(), "1.0.0").set("mac", conf))
			out := mustExec(t, r)
			if mac := parseResult(t, out).Interfaces[1].Mac; mac != row.want {
				t.Errorf("result has MAC %s, want %s", mac, row.want)
			}
			if got := inside(t, r.netns, "ip", "link", "show", "eth0"); !strings.Contains(got, row.want) {
				t.Errorf("container has %s, want MAC %s", got, row.want)
			}
			mustExec(t, r.with("CHECK").set("prevResult", json.RawMessage(out)))
		})
	}
}

// Default routes go by the gateways that are named, further routes by the one that they name or by that of their family.
func TestGatewayAndRoutes(t *testing.T) {
	r := start(t, meshdtest.New(), "1.1.0").
		set("gateway", []any{"10.77.0.1", "fd00:1:2::1"}).set("isDefaultGateway", true).
		set("routes", []any{obj("dst", "192.0.2.0/24"), obj("dst", "198.51.100.0/24", "gw", "10.77.0.254", "mtu", 1300, "priority", 7),
			obj("dst", "203.0.113.0/24", "table", 99)})
	out := mustExec(t, r)
	result := parseResult(t, out)
	for i, want := range []string{"fd00:1:2::1", "10.77.0.1"} {
		if got := result.IPs[i].Gateway.String(); got != want {
			t.Errorf("gateway %d is %s, want %s", i, got, want)
		}
	}
	if len(result.Routes) != 5 {
		t.Errorf("routes = %v, want five", result.Routes)
	}
	routes := inside(t, r.netns, "ip", "route", "show", "table", "all") + inside(t, r.netns, "ip", "-6", "route")
	for _, want := range []string{"default via 10.77.0.1 dev eth0", "default via fd00:1:2::1 dev eth0", "192.0.2.0/24 via 10.77.0.1",
		"198.51.100.0/24 via 10.77.0.254 dev eth0 metric 7 mtu 1300", "203.0.113.0/24 via 10.77.0.1 dev eth0 table 99"} {
		if !strings.Contains(routes, want) {
			t.Errorf("the container lacks %q:\n%s", want, routes)
		}
	}
	check := r.with("CHECK").set("prevResult", json.RawMessage(out))
	mustExec(t, check)
	inside(t, r.netns, "ip", "route", "del", "203.0.113.0/24", "table", "99")
	if _, err := check.exec(t); err == nil || !strings.Contains(err.Error(), "lacks the route to 203.0.113.0/24") {
		t.Errorf("CHECK without a route = %v", err)
	}
}

// A default route without a gateway is refused, and so is a gateway that the container cannot reach.
func TestGatewayErrors(t *testing.T) {
	for name, row := range map[string]struct {
		change func(run) run
		want   string
	}{
		"none known": {func(r run) run { return r.set("isDefaultGateway", true) }, `no gateway is known: the network has none on this host (egress = "nat" makes one); name another ("gateway": "ADDRESS")`},
		"elsewhere":  {func(r run) run { return r.set("gateway", "192.0.2.1") }, "gateway 192.0.2.1 is in the subnet of none of the container's addresses"},
		"no IPv4":    {func(r run) run { return r.set("gateway", "10.77.0.1").set("ipv4", false) }, "in the subnet of none"},
	} {
		t.Run(name, func(t *testing.T) {
			r := row.change(start(t, meshdtest.New(), "1.0.0"))
			_, err := r.exec(t)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != types.ErrInvalidNetworkConfig || !strings.Contains(e.Msg, row.want) {
				t.Errorf("ADD = %v, want code 7 with %q", err, row.want)
			}
			if got := held(t, r); got != "" {
				t.Errorf("%s has a lease", got)
			}
		})
	}
}

// Limits of the rate come and go with the container, and CHECK misses them.
func TestBandwidth(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0").set("bandwidth", obj("ingressRate", 1, "ingressBurst", 1)).
		set("runtimeConfig", obj("bandwidth", obj("ingressRate", 8000000, "ingressBurst", 800000, "egressRate", 16000000, "egressBurst", 800000)))
	out := mustExec(t, r)
	host := attach.HostName("c1", "eth0")
	show := func() string {
		text, _ := exec.Command("tc", "qdisc", "show").CombinedOutput()
		return string(text)
	}
	for _, want := range []string{"tbf 1: dev " + host + " root refcnt", "rate 8Mbit", "dev mi" + host[2:], "rate 16Mbit"} {
		if got := show(); !strings.Contains(got, want) {
			t.Errorf("queues are %s, want %q", got, want)
		}
	}
	check := r.with("CHECK").set("prevResult", json.RawMessage(out))
	mustExec(t, check)
	if out, err := exec.Command("tc", "qdisc", "del", "dev", host, "root").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var e *types.Error
	if _, err := check.exec(t); !errors.As(err, &e) || e.Code != cni.CodeCheck || !strings.Contains(e.Msg, "no limit of 8000000") {
		t.Errorf("CHECK without the limit = %v", err)
	}
	mustExec(t, r.with("DEL"))
	if got := show(); strings.Contains(got, "tbf") {
		t.Errorf("after DEL there is %s", got)
	}
}

// Aliases are meshd's to keep, in the form of CONVENTIONS.md and in podman's.
func TestAliases(t *testing.T) {
	for name, value := range map[string]any{
		"list": []any{"www", "api", "www"}, "by network": obj("homes", []any{"api", "www"}, "others", []any{"x"}),
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, meshdtest.New(), "1.0.0").set("runtimeConfig", obj("aliases", value)).set("aliases", []any{"static"})
			mustExec(t, r)
			list, err := api.NewClient(r.socket).Attachments(context.Background(), "homes")
			if err != nil || len(list) != 1 || !slices.Equal(list[0].Aliases, []string{"api", "www"}) || list[0].CNINetwork != "homes" {
				t.Errorf("attachments = %+v, %v, want aliases api and www, CNI network homes", list, err)
			}
		})
	}
}

// DNS: the runtime's before the configuration's before that of the plugins before.
func TestDNS(t *testing.T) {
	prev := obj("cniVersion", "1.0.0", "dns", obj("nameservers", []any{"192.0.2.1"}))
	for name, row := range map[string]struct {
		change func(run) run
		want   string
	}{
		"of prevResult": {func(r run) run { return r }, `{[192.0.2.1]  [] []}`},
		"configuration": {func(r run) run { return r.set("dns", obj("domain", "a.test", "search", []any{"b.test"})) }, `{[] a.test [b.test] []}`},
		"an empty list": {func(r run) run { return r.set("dns", obj("nameservers", []any{})) }, `{[]  [] []}`},
		"runtime's": {func(r run) run {
			return r.set("runtimeConfig", obj("dns", obj("servers", []any{"192.0.2.2"}, "searches", []any{"c.test"})))
		}, `{[192.0.2.2]  [c.test] []}`},
		"runtime and own": {func(r run) run {
			return r.set("dns", obj("domain", "a.test")).set("runtimeConfig", obj("dns", obj("servers", []any{"192.0.2.2"})))
		}, `{[192.0.2.2] a.test [] []}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := row.change(start(t, meshdtest.New(), "1.0.0").set("prevResult", prev))
			if got := fmt.Sprint(parseResult(t, mustExec(t, r)).DNS); got != row.want {
				t.Errorf("dns = %s, want %s", got, row.want)
			}
		})
	}
}

// The choice of families is the attachment's, and several networks on one container do not disturb each other.
func TestFamiliesAndInterfaces(t *testing.T) {
	r := start(t, meshdtest.New(), "1.0.0")
	want := map[string]struct {
		key   string
		begin []string
	}{"eth0": {"", []string{"fd00:1:2:", "10.77."}}, "eth1": {"ipv4", []string{"fd00:1:2:"}}, "eth2": {"ipv6", []string{"10.77."}}}
	prev := map[string][]byte{}
	for ifname, row := range want {
		next := r
		next.ifname = ifname
		if row.key != "" {
			next = next.set(row.key, false)
		}
		out := mustExec(t, next)
		prev[ifname] = out
		ips := parseResult(t, out).IPs
		if len(ips) != len(row.begin) {
			t.Fatalf("%s: ips = %v, want %v", ifname, ips, row.begin)
		}
		for i, begin := range row.begin {
			if got := ips[i].Address.String(); !strings.HasPrefix(got, begin) {
				t.Errorf("%s: address %s, want %s…", ifname, got, begin)
			}
		}
	}
	if got := inside(t, r.netns, "ip", "-6", "addr", "show", "dev", "eth2"); strings.Contains(got, "fd00:") {
		t.Errorf("eth2 has %s, want no IPv6 address of the mesh", got)
	}
	gone := r.with("DEL")
	gone.ifname = "eth1"
	mustExec(t, gone)
	for _, ifname := range []string{"eth0", "eth2"} {
		next := r.with("CHECK").set("prevResult", json.RawMessage(prev[ifname]))
		next.ifname = ifname
		if ifname == "eth2" {
			next = next.set("ipv6", false)
		}
		mustExec(t, next)
	}
}

// onHost returns what a program prints in the test's host.
func onHost(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
	return string(out)
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// resultOf returns a result that was printed in some version.
func resultOf(t *testing.T, version string, out []byte) *types100.Result {
	t.Helper()
	result, err := create.Create(version, out)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := types100.NewResultFromResult(result)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}
