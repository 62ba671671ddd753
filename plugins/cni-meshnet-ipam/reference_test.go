package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
)

// referenceVersions are those for which the reference plugins run their cases.
var referenceVersions = []string{"0.4.0", "1.0.0", "1.1.0"}

func ips(list ...string) map[string]any { return map[string]any{"ips": list} }

func wants(t *testing.T, p plugin, ipv4 string) {
	t.Helper()
	if got := p.add(t); !slices.Contains(got, ipv4) {
		t.Errorf("ADD gave %v, want %s", got, ipv4)
	}
}

// references are the cases of host-local and static of containernetworking/plugins v1.9.1 that mean something here, by the
// names that testdata/reference.txt gives them.
var references = map[string]func(t *testing.T, p plugin){
	"ADD and DEL": func(t *testing.T, p plugin) {
		if got := p.add(t); len(got) != 2 {
			t.Errorf("ADD gave %v, want one address of each family", got)
		}
		for range 2 {
			p.must(t, "DEL")
			if got := p.held(t); got != "" {
				t.Errorf("after DEL there are %s", got)
			}
		}
	},
	"two interfaces": func(t *testing.T, p plugin) {
		first := p.add(t)
		second := p
		second.ifname = "eth1"
		if got := second.add(t); slices.Equal(got, first) {
			t.Errorf("both interfaces have %v", got)
		}
		p.must(t, "DEL")
		if got := p.held(t); got != "c1/eth1" {
			t.Errorf("after DEL of eth0 there are %q", got)
		}
	},
	"ADD twice": func(t *testing.T, p plugin) {
		if first, again := p.add(t), p.add(t); !slices.Equal(first, again) {
			t.Errorf("ADD gave %v and then %v", first, again)
		}
	},
	"DEL of the unknown": func(t *testing.T, p plugin) { p.must(t, "DEL") },
	"silence":            func(t *testing.T, p plugin) { p.must(t, "ADD") }, // exec looks at standard error
	"IP in args": func(t *testing.T, p plugin) {
		wants(t, p.beside("args", map[string]any{"cni": ips("10.77.3.4")}), "10.77.3.4/16")
	},
	"IP in CNI_ARGS": func(t *testing.T, p plugin) {
		p.args = "IP=10.77.3.5"
		wants(t, p, "10.77.3.5/16")
	},
	"IP in runtimeConfig": func(t *testing.T, p plugin) { wants(t, p.beside("runtimeConfig", ips("10.77.3.6/16")), "10.77.3.6/16") },
	"precedence": func(t *testing.T, p plugin) {
		p.args = "IP=10.77.3.5"
		p = p.beside("args", map[string]any{"cni": ips("10.77.3.4")})
		wants(t, p, "10.77.3.4/16")
		p.must(t, "DEL")
		wants(t, p.beside("runtimeConfig", ips("10.77.3.6")), "10.77.3.6/16")
	},
	"several IPs": func(t *testing.T, p plugin) {
		p.beside("runtimeConfig", ips("10.77.3.6", "10.77.3.7")).refused(t, "ADD", types.ErrInvalidNetworkConfig, "one IPv4 address of its choice")
	},
	"IPv6": func(t *testing.T, p plugin) {
		p.beside("runtimeConfig", ips("fd00::1")).refused(t, "ADD", types.ErrInvalidNetworkConfig, "only IPv4 addresses can be chosen")
	},
	"IP outside": func(t *testing.T, p plugin) {
		p.Fail = api.Errorf(api.Invalid, "192.0.2.1 is outside the pools")
		p.beside("args", map[string]any{"cni": ips("192.0.2.1")}).refused(t, "ADD", types.ErrInvalidNetworkConfig, "192.0.2.1 is outside the pools")
	},
	"IP in use": func(t *testing.T, p plugin) {
		p.Fail = api.Errorf(api.Conflict, "10.77.3.4 is in use by web/eth0 on b")
		p.beside("args", map[string]any{"cni": ips("10.77.3.4")}).refused(t, "ADD", types.ErrInvalidNetworkConfig, "in use by web/eth0 on b")
	},
	"out of addresses": func(t *testing.T, p plugin) {
		p.Fail = api.Errorf(api.Unavailable, "no free block is left in 10.77.0.0/16")
		p.refused(t, "ADD", types.ErrTryAgainLater, "leasing for c1/eth0: no free block is left in 10.77.0.0/16")
	},
	"no ipam, args": func(t *testing.T, p plugin) {
		p.ipam = nil
		p.beside("args", map[string]any{"cni": ips("10.77.3.4")}).refused(t, "ADD", types.ErrInvalidNetworkConfig, "the configuration has no ipam")
	},
	"no ipam, runtimeConfig": func(t *testing.T, p plugin) {
		p.ipam = nil
		p.beside("runtimeConfig", ips("10.77.3.4")).refused(t, "ADD", types.ErrInvalidNetworkConfig, "the configuration has no ipam")
	},
	"bad IP in args": func(t *testing.T, p plugin) {
		p.beside("args", map[string]any{"cni": ips("10.77.3.400")}).refused(t, "ADD", types.ErrInvalidNetworkConfig, "is none")
	},
	"bad IP in CNI_ARGS": func(t *testing.T, p plugin) {
		p.args = "IP=10.77.3.4/33"
		p.refused(t, "ADD", types.ErrInvalidNetworkConfig, "is none")
	},
	"bad IP in runtimeConfig": func(t *testing.T, p plugin) {
		p.beside("runtimeConfig", ips("10.77.3.4/")).refused(t, "ADD", types.ErrInvalidNetworkConfig, "is none")
	},
}

func TestReference(t *testing.T) {
	for name, run := range references {
		for _, version := range referenceVersions {
			t.Run(name+" "+version, func(t *testing.T) { run(t, start(t, version)) })
		}
	}
}

// Each line of testdata/reference.txt names a case of the reference plugins and one of references, or a test of package ipam,
// where what is tested belongs, or why there is none.
func TestReferenceList(t *testing.T) {
	tests := testsOfIPAM(t)
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
		if name, ok := strings.CutPrefix(fields[2], "= "); ok {
			if used[name] = true; references[name] == nil {
				t.Errorf("line %d: there is no case %q here", n, name)
			}
		} else if name, ok := strings.CutPrefix(fields[2], "ipam: "); ok {
			if !tests[name] {
				t.Errorf("line %d: package ipam has no %s", n, name)
			}
		} else if !strings.HasPrefix(fields[2], "no: ") {
			t.Errorf("line %d: %q is neither = CASE nor ipam: TEST nor no: WHY", n, fields[2])
		}
	}
	for name := range references {
		if !used[name] {
			t.Errorf("case %q is none of the reference plugins: it has no line", name)
		}
	}
}

// testsOfIPAM returns the names of the tests of package ipam.
func testsOfIPAM(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../ipam/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of package ipam: %v, %v", files, err)
	}
	tests := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	}
	return tests
}
