package main

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/meshdtest"
)

// referenceVersions are those for which the reference plugins run their cases.
var referenceVersions = []string{"0.4.0", "1.0.0", "1.1.0"}

// references are the cases of bridge and ptp of containernetworking/plugins v1.9.1 that mean something here, by the names that
// testdata/reference.txt gives them.
var references = map[string]func(t *testing.T, r run, b *meshdtest.Backend){
	"existing bridge": func(t *testing.T, r run, _ *meshdtest.Backend) {
		mustExec(t, r)
		if got := onHost(t, "ip", "-o", "link", "show", "master", meshdtest.Bridge); !strings.Contains(got, attach.HostName("c1", "eth0")) {
			t.Errorf("ports of the bridge are %s", got)
		}
	},
	"default route": func(t *testing.T, r run, _ *meshdtest.Backend) {
		for _, gateway := range []any{"10.77.0.1", "fd00:1:2::1", []any{"10.77.0.1", "fd00:1:2::1"}} {
			next := r.set("gateway", gateway).set("isDefaultGateway", true)
			mustExec(t, next)
			v4, v6 := inside(t, r.netns, "ip", "route"), inside(t, r.netns, "ip", "-6", "route")
			if wants := gateway != "fd00:1:2::1"; strings.Contains(v4, "default via 10.77.0.1 dev eth0") != wants {
				t.Errorf("gateway %v: routes are %s", gateway, v4)
			}
			if wants := gateway != "10.77.0.1"; strings.Contains(v6, "default via fd00:1:2::1 dev eth0") != wants {
				t.Errorf("gateway %v: routes are %s", gateway, v6)
			}
			mustExec(t, next.with("DEL"))
			if got := inside(t, r.netns, "ip", "-o", "link"); strings.Contains(got, "eth0") {
				t.Errorf("after DEL the container has %s", got)
			}
		}
	},
	"DEL of nothing": func(t *testing.T, r run, _ *meshdtest.Backend) { mustExec(t, r.with("DEL")) },
	"stable MAC": func(t *testing.T, r run, _ *meshdtest.Backend) {
		first := convert(t, mustExec(t, r)).Interfaces[1].Mac
		mustExec(t, r.with("DEL"))
		if second := convert(t, mustExec(t, r)).Interfaces[1].Mac; second != first {
			t.Errorf("MAC addresses of the same container are %s and %s", first, second)
		}
	},
	"MAC from CNI_ARGS": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r.args = "MAC=c2:11:22:33:44:55"
		hasMAC(t, r, "c2:11:22:33:44:55")
	},
	"MAC from args": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r.args = "MAC=c2:11:22:33:44:55"
		hasMAC(t, r.set("args", obj("cni", obj("mac", "c2:11:22:33:44:66"))), "c2:11:22:33:44:66")
	},
	"MAC from runtimeConfig": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r.args = "MAC=c2:11:22:33:44:55"
		hasMAC(t, r.set("args", obj("cni", obj("mac", "c2:11:22:33:44:66"))).set("runtimeConfig", obj("mac", "c2:11:22:33:44:77")), "c2:11:22:33:44:77")
	},
	"release after an error": func(t *testing.T, r run, b *meshdtest.Backend) {
		b.Routes = []api.Route{{Dst: prefix("198.51.100.0/24"), Gateway: prefix("203.0.113.1/32").Addr()}}
		if _, err := r.exec(t); err == nil {
			t.Error("ADD with a route that cannot be succeeded")
		}
		if got := held(t, r); got != "" {
			t.Errorf("after the error there is %s", got)
		}
	},
	"CHECK": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r = r.set("gateway", []any{"10.77.0.1", "fd00:1:2::1"}).set("isDefaultGateway", true)
		done := r.set("prevResult", json.RawMessage(mustExec(t, r)))
		mustExec(t, done.with("CHECK"))
		mustExec(t, done.with("DEL"))
		if _, err := done.with("CHECK").exec(t); err == nil {
			t.Error("CHECK after DEL succeeded")
		}
	},
	"ADD and DEL": func(t *testing.T, r run, _ *meshdtest.Backend) {
		result := convert(t, mustExec(t, r))
		if len(result.Interfaces) != 2 || result.Interfaces[1].Sandbox != r.netns || len(result.IPs) != 2 {
			t.Errorf("result is %+v", result)
		}
		host := onHost(t, "ip", "link", "show", result.Interfaces[0].Name)
		if !strings.Contains(host, result.Interfaces[0].Mac) {
			t.Errorf("the host's end is %s, and %s in the result", host, result.Interfaces[0].Mac)
		}
		mustExec(t, r.with("DEL"))
		if got := onHost(t, "ip", "-o", "link"); strings.Contains(got, result.Interfaces[0].Name) {
			t.Errorf("after DEL there are %s", got)
		}
	},
	"both families and routes": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r = r.set("gateway", []any{"10.77.0.1", "fd00:1:2::1"}).
			set("routes", []any{obj("dst", "192.0.2.0/24"), obj("dst", "2001:db8::/32", "gw", "fd00:1:2::2")})
		result := convert(t, mustExec(t, r))
		if len(result.Routes) != 2 || result.Routes[0].GW.String() != "10.77.0.1" || result.Routes[1].GW.String() != "fd00:1:2::2" {
			t.Errorf("routes are %v", result.Routes)
		}
		if got := inside(t, r.netns, "ip", "-6", "route"); !strings.Contains(got, "2001:db8::/32 via fd00:1:2::2") {
			t.Errorf("the container has %s", got)
		}
	},
	"DNS of IPAM": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r, _ = delegating(t, r, given, "")
		if got := convert(t, mustExec(t, r)).DNS.Nameservers; !slices.Equal(got, []string{"192.0.2.53"}) {
			t.Errorf("nameservers are %v, want IPAM's", got)
		}
	},
	"own DNS instead of IPAM's": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r, _ = delegating(t, r, given, "")
		dns := convert(t, mustExec(t, r.set("dns", obj("search", []any{"a.test"})))).DNS
		if len(dns.Nameservers) != 0 || !slices.Equal(dns.Search, []string{"a.test"}) {
			t.Errorf("dns is %+v, want the configuration's alone", dns)
		}
	},
	"empty DNS instead of IPAM's": func(t *testing.T, r run, _ *meshdtest.Backend) {
		r, _ = delegating(t, r, given, "")
		if dns := convert(t, mustExec(t, r.set("dns", obj("nameservers", []any{})))).DNS; len(dns.Nameservers) != 0 {
			t.Errorf("dns is %+v, want none", dns)
		}
	},
}

func TestReference(t *testing.T) {
	for name, run := range references {
		for _, version := range referenceVersions {
			t.Run(name+" "+version, func(t *testing.T) {
				b := meshdtest.New()
				run(t, start(t, b, version), b)
			})
		}
	}
}

// Each line of testdata/reference.txt names a case of the reference plugins and either one of references or why there is none.
func TestReferenceList(t *testing.T) {
	f, err := os.Open("testdata/reference.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	used := make(map[string]bool)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, " | ")
		if len(fields) != 3 {
			t.Errorf("line %d: %q is not FILE | CASE | HERE", n, line)
			continue
		}
		name, tested := strings.CutPrefix(fields[2], "= ")
		if _, ok := references[name]; tested && !ok {
			t.Errorf("line %d: there is no case %q here", n, name)
		}
		if !tested && !strings.HasPrefix(fields[2], "no: ") {
			t.Errorf("line %d: %q is neither = CASE nor no: WHY", n, fields[2])
		}
		used[name] = true
	}
	for name := range references {
		if !used[name] {
			t.Errorf("case %q is none of the reference plugins: it has no line", name)
		}
	}
}

// convert returns a result of whatever version.
func convert(t *testing.T, out []byte) *types100.Result {
	t.Helper()
	var v struct{ CNIVersion string }
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	return resultOf(t, v.CNIVersion, out)
}

func hasMAC(t *testing.T, r run, want string) {
	t.Helper()
	if got := convert(t, mustExec(t, r)).Interfaces[1].Mac; got != want {
		t.Errorf("result has MAC address %s, want %s", got, want)
	}
	if got := inside(t, r.netns, "ip", "link", "show", "eth0"); !strings.Contains(got, want) {
		t.Errorf("container has %s, want MAC address %s", got, want)
	}
}
