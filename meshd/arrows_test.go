package main

import (
	"os/exec"
	"strings"
	"testing"
)

// arrows says which packages of this module each package may import (docs/architecture.md, "Rooms and arrows"), and why
// no others. A package that is not listed may import nothing of the module.
var arrows = map[string]struct {
	may []string
	why string
}{
	"meshnet/meshd":                      {[]string{"meshd/hub", "meshd/answer", "meshd/gateway", "meshd/nameserver", "meshd/zone", "meshd/node", "meshd/config", "meshd/token", "meshd/api", "meshd/session", "meshd/tap", "meshd/udp", "meshd/reconcile", "ipam", "ipam/registry", "ipam/raftstore", "ipam/etcdstore"}, "main joins the edges to the nodes; frames and membership are the node's"},
	"meshnet/meshd/hub":                  {[]string{"meshd/session", "meshd/wire"}, "the hub knows no network, only who takes a slot's datagrams"},
	"meshnet/meshd/node":                 {[]string{"meshd/hub", "meshd/answer", "meshd/mesh", "meshd/control", "meshd/path", "meshd/session", "meshd/wire", "ipam", "ipam/registry"}, "a node runs on any underlay and TAP, and in memory: it must not know the edges, the API or files"},
	"meshnet/meshd/config":               {[]string{"meshd/session", "meshd/token", "ipam"}, "files know no running part"},
	"meshnet/meshd/token":                {[]string{}, "a token is text"},
	"meshnet/meshd/api":                  {[]string{"meshd/token"}, "plugins link the API: it must stay light"},
	"meshnet/meshd/mesh":                 {[]string{"meshd/session", "meshd/offload", "meshd/wire"}, "the switch seals and opens; it knows neither membership nor edges"},
	"meshnet/meshd/answer":               {[]string{}, "answers are pure: frame and tables in, frame out"},
	"meshnet/meshd/gateway":              {[]string{}, "an edge knows interfaces and rules, not what they are for"},
	"meshnet/meshd/zone":                 {[]string{}, "names are pure: a question and the table in, an answer out"},
	"meshnet/meshd/nameserver":           {[]string{"meshd/zone"}, "a server knows sockets and a zone, not where the names come from"},
	"meshnet/meshd/session":              {[]string{"meshd/wire"}, "sessions are pure: bytes and time in, bytes out"},
	"meshnet/meshd/path":                 {[]string{"meshd/wire"}, "a path is pure: what passed and time in, what to probe out"},
	"meshnet/meshd/control":              {[]string{"meshd/session", "meshd/wire", "meshd/control/neighbour", "meshd/control/stream"}, "control sends through a function, whatever carries it"},
	"meshnet/meshd/control/neighbour":    {[]string{"meshd/session"}, "the table is pure"},
	"meshnet/meshd/control/stream":       {[]string{"meshd/session", "meshd/wire"}, "streams run over datagrams, whatever they carry"},
	"meshnet/meshd/wire":                 {[]string{}, "the bottom"},
	"meshnet/meshd/udp":                  {[]string{"meshd/ready", "meshd/wire"}, "an edge knows datagrams, not what they mean"},
	"meshnet/meshd/tap":                  {[]string{"meshd/ready", "meshd/offload"}, "an edge knows frames, not what they mean"},
	"meshnet/meshd/offload":              {[]string{}, "what is left to do to a frame is said and done without state"},
	"meshnet/meshd/offload/offloadtest":  {[]string{"meshd/offload"}, "packets for tests"},
	"meshnet/meshd/ready":                {[]string{}, "waiting for a descriptor knows nothing of what comes"},
	"meshnet/meshd/reconcile":            {[]string{"meshd/api", "ipam", "plugins/attach"}, "what exists is compared with leases, whoever made them"},
	"meshnet/ipam/registry":              {[]string{}, "who owns what is decided by pure functions"},
	"meshnet/ipam/raftstore":             {[]string{"ipam", "ipam/registry"}, "an engine knows the registry, and streams by an interface"},
	"meshnet/ipam/etcdstore":             {[]string{"ipam", "ipam/registry"}, "an engine knows the registry"},
	"meshnet/init/kubernetes":            {[]string{}, "a manifest is text"},
	"meshnet/ipam":                       {[]string{"ipam/registry"}, "addresses know no daemon"},
	"meshnet/meshctl/doctor":             {[]string{"meshd/api"}, "findings follow from facts"},
	"meshnet/meshctl":                    {[]string{"meshd/api", "meshd/config", "meshd/session", "meshd/token", "plugins/attach", "plugins/lxcconf", "meshctl/doctor"}, "the command line speaks to the daemon through its API only"},
	"meshnet/plugins/attach":             {[]string{"meshd/api", "meshd/token", "plugins/internal/netdev"}, "plugins see the API and network devices, nothing of the daemon"},
	"meshnet/plugins/cni-meshnet":        {[]string{"meshd/api", "plugins/attach", "plugins/internal/cni", "plugins/internal/netdev"}, "plugins see the API and network devices, nothing of the daemon"},
	"meshnet/plugins/cni-meshnet-ipam":   {[]string{"meshd/api", "plugins/attach", "plugins/internal/cni", "plugins/internal/netdev"}, "plugins see the API and network devices, nothing of the daemon"},
	"meshnet/plugins/internal/cni":       {[]string{"meshd/api", "plugins/attach", "plugins/internal/netdev"}, "what the CNI plugins share is no more than they may see"},
	"meshnet/plugins/lxcconf":            {[]string{}, "a configuration is text"},
	"meshnet/plugins/lxc-hook":           {[]string{"meshd/api", "plugins/attach", "plugins/internal/netdev", "plugins/lxcconf"}, "plugins see the API and network devices, nothing of the daemon"},
	"meshnet/plugins/lxd":                {[]string{"meshd/api", "meshd/token"}, "LXD makes the interfaces: what is left is names and addresses, which the API takes"},
	"meshnet/plugins/internal/netdev":    {[]string{}, "network devices know no daemon"},
	"meshnet/plugins/internal/meshdtest": {[]string{"meshd/api"}, "a meshd for the tests of plugins is no more than its API"},
	"meshnet/test/netsim":                {[]string{"meshd/offload", "meshd/wire"}, "the simulated edges know what the real ones know"},
	"meshnet/test/bench":                 {[]string{"test/e2e/lab"}, "what is measured is what users run"},
	"meshnet/test/e2e":                   {[]string{"test/e2e/lab", "meshd/api", "meshd/wire", "meshd/token"}, "end to end means from outside"},
	"meshnet/test/e2e/demo":              {[]string{"test/e2e/lab", "meshd/api"}, "end to end means from outside"},
	"meshnet/test/e2e/lab":               {[]string{"meshd/api"}, "end to end means from outside"},
}

// "Arrows point down only."
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "meshnet/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		pkg := imports[0]
		rule, ok := arrows[pkg]
		if !ok {
			t.Errorf("package %s is in no room: say in arrows what it may import and why", pkg)
		}
		may := make(map[string]bool)
		for _, p := range rule.may {
			may["meshnet/"+p] = true
		}
		for _, p := range imports[1:] {
			if strings.HasPrefix(p, "meshnet/") && !may[p] {
				t.Errorf("%s imports %s: %s", pkg, p, rule.why)
			}
		}
	}
}

// "This program, and no other, is under that licence": only meshnet-lxd links what is under the AGPL.
func TestOnlyOneProgramLinksLXD(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "meshnet/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := false
	for line := range strings.Lines(string(out)) {
		pkg, deps, _ := strings.Cut(line, " ")
		links := strings.Contains(deps, "github.com/canonical/lxd/")
		if links && pkg != "meshnet/plugins/lxd" {
			t.Errorf("%s links LXD's client, which is under the AGPL", pkg)
		}
		found = found || links
	}
	if !found {
		t.Error("nothing links LXD's client: this test looks for the wrong path")
	}
}

// "The plugins start in milliseconds": what they link must not grow by accident.
func TestPluginsStayLight(t *testing.T) {
	for _, pkg := range []string{"meshnet/plugins/cni-meshnet", "meshnet/plugins/cni-meshnet-ipam", "meshnet/plugins/lxc-hook"} {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for _, heavy := range []string{"quic-go", "memberlist", "spf13/cobra", "BurntSushi/toml", "flynn/noise"} {
			if strings.Contains(string(out), heavy) {
				t.Errorf("%s links %s", pkg, heavy)
			}
		}
	}
}
