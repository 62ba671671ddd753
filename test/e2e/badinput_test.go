package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// Token truncated, altered, of another version.
//
//	a: has a network; b: is given bad tokens
func TestBadTokens(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	token := mesh(t, "mesh", a)
	b.StartMeshd()
	middle := len(token) / 2
	altered := byte('A')
	if token[middle] == altered {
		altered = 'B'
	}
	for name, bad := range map[string]string{
		"empty":           "",
		"one byte":        token[:1],
		"half":            token[:middle],
		"without its end": token[:len(token)-1],
		"altered":         token[:middle] + string(altered) + token[middle+1:],
		"longer":          token + "A",
		"doubled":         token + token,
		"another version": strings.Replace(token, "1", "9", 1),
		"something else":  "hello, world",
		"binary":          "\x01\xff\xfe",
		"4 kB":            strings.Repeat("A", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			r := b.Try("meshctl", "network", "join", bad)
			if r.Code != 1 && r.Code != 2 || strings.TrimSpace(r.Stderr) == "" {
				t.Errorf("exit %d, stderr %q; want 1 or 2 and a reason", r.Code, r.Stderr)
			}
			t.Logf("%s", strings.TrimSpace(r.Stderr))
		})
	}
	if got := status(b).Networks; len(got) != 0 {
		t.Errorf("networks after bad tokens = %+v, want none", got)
	}
	if r := b.TryInput("  "+token+"\n\n", "meshctl", "network", "join", "--token-file", "-"); r.Code != 0 {
		t.Errorf("join --token-file - with blanks around the token: exit %d: %s", r.Code, r.Stderr)
	}
	meshed(t, a, b)
	b.Output("meshctl", "network", "join", token) // again: nothing changes
}

// Joining with a wrong PSK: silence and a counter on the one side; on the other, join says who did not answer, and
// changes nothing.
//
//	a: network mesh ══ underlay ══ b: a token of another mesh, with the endpoint of a
func TestWrongPSK(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", a)
	b.StartMeshd()
	b.Output("meshctl", "network", "create", "mesh", "--endpoint", a.Endpoint())
	wrong := b.Output("meshctl", "network", "token", "mesh")
	b.Output("meshctl", "network", "leave", "mesh")

	fails(t, b, 1, []string{"answer", a.Endpoint()}, "meshctl", "network", "join", wrong)
	if got := status(b).Networks; len(got) != 0 {
		t.Errorf("networks of b after a failed join = %+v, want none", got)
	}
	a.Until("a counts the handshakes that it cannot open", func() bool { return counted(a, isHandshake) > 0 }, func() string {
		return a.Output("meshctl", "status", "--json")
	})
	if got := peers(a); len(got) != 0 {
		t.Errorf("peers of a = %+v, want none", got)
	}
}

// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 meshd not reachable.
//
//	a: with meshd; b: without
func TestExitCodes(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "mesh", a)
	for _, tt := range []struct {
		host *lab.Host
		code int
		args string
	}{
		{a, 0, "status"}, {a, 0, "status --json"}, {a, 0, "peers"}, {a, 0, "peers mesh"}, {a, 0, "leases"},
		{a, 0, "leases mesh"}, {a, 0, "network list"}, {a, 0, "network show mesh"}, {a, 0, "network token mesh"},
		{a, 0, "version"}, {a, 0, "genkey"}, {a, 0, "completion bash"}, {a, 0, "help"}, {a, 0, "--help"},
		{b, 0, "version"}, {b, 0, "genkey"}, {b, 0, "completion zsh"},
		{a, 1, "peers nope"}, {a, 1, "leases nope"}, {a, 1, "network show nope"}, {a, 1, "network leave nope"},
		{a, 1, "network create mesh"}, {a, 1, "network join --token-file /nope"},
		{a, 1, "attach --netns /nope --container c"}, {a, 1, "attach --pid 999999 --container c"},
		{a, 2, "nope"}, {a, 2, "status --nope"}, {a, 2, "network create"}, {a, 2, "network create a b"}, {a, 2, "network join"},
		{a, 2, "attach --container c"}, {a, 2, "attach --netns /run/netns/x"}, {a, 2, "network create x --mtu big"},
		{b, 3, "status"}, {b, 3, "status --json"}, {b, 3, "network list"}, {b, 3, "network create x"}, {b, 3, "leases"},
		{b, 3, "--socket /run/elsewhere.sock status"},
	} {
		t.Run(fmt.Sprintf("%d/%s", tt.code, tt.args), func(t *testing.T) {
			r := tt.host.Try(append([]string{"meshctl"}, strings.Fields(tt.args)...)...)
			if r.Code != tt.code {
				t.Errorf("exit %d, want %d; stdout %q stderr %q", r.Code, tt.code, r.Stdout, r.Stderr)
			}
			if tt.code == 0 && (r.Stdout == "" || r.Stderr != "") {
				t.Errorf("stdout %q, stderr %q; want something on stdout only", r.Stdout, r.Stderr)
			}
			if tt.code != 0 && (r.Stdout != "" || r.Stderr == "") {
				t.Errorf("stdout %q, stderr %q; want something on stderr only", r.Stdout, r.Stderr)
			}
		})
	}
	if r := b.Try("env", "MESHNET_SOCKET=/run/here.sock", "meshctl", "status"); r.Code != 3 || !strings.Contains(r.Stderr, "/run/here.sock") {
		t.Errorf("status with $MESHNET_SOCKET: exit %d, %q; want 3 and the socket's name", r.Code, r.Stderr)
	}
}

// API bodies malformed or 1 GB long.
//
//	a: meshd, and a client that means harm
func TestAPIBodies(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	attach := "/v1/networks/mesh/attachments/c/eth0"
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"not JSON", "PUT", attach, "hello", 400},
		{"half of it", "PUT", attach, `{"mtu": 12`, 400},
		{"an array", "PUT", attach, `[]`, 400},
		{"two objects", "PUT", attach, `{}{}`, 400},
		{"unknown field", "PUT", attach, `{"mut": 1400}`, 400},
		{"wrong type", "PUT", attach, `{"mtu": "big"}`, 400},
		{"mtu too large", "PUT", attach, `{"mtu": 1000000}`, 400},
		{"mtu negative", "PUT", attach, `{"mtu": -1}`, 400},
		{"deep nesting", "PUT", attach, strings.Repeat(`{"a":`, 100000), 400},
		{"ifname too long", "PUT", "/v1/networks/mesh/attachments/c/interface-name-of-20", `{}`, 400},
		{"ifname with a slash", "PUT", "/v1/networks/mesh/attachments/c/a%2fb", `{}`, 400},
		{"container of dots", "PUT", "/v1/networks/mesh/attachments/%2e%2e/eth0", `{}`, 404},
		{"unknown network", "PUT", "/v1/networks/nope/attachments/c/eth0", `{}`, 404},
		{"unknown path", "GET", "/v1/nope", "", 404},
		{"unknown method", "POST", "/v1/status", "", 405},
		{"create without name", "POST", "/v1/networks", `{}`, 400},
		{"bad network name", "POST", "/v1/networks", `{"name": "../../etc"}`, 400},
		{"bad bridge name", "POST", "/v1/networks", `{"name": "x", "bridge": "a/b"}`, 400},
		{"bad token", "POST", "/v1/networks/join", `{"token": "x"}`, 400},
	} {
		t.Run(tt.name, func(t *testing.T) { wantAnswer(t, a, tt.method, tt.path, strings.NewReader(tt.body), tt.status) })
	}
	t.Run("1 GB", func(t *testing.T) {
		wantAnswer(t, a, "PUT", attach, io.LimitReader(zeros{}, 1<<30), 413)
		wantAnswer(t, a, "POST", "/v1/networks", io.LimitReader(zeros{}, 1<<30), 413)
		if kb := residentKB(t, a.Meshd().Pid()); kb > 200<<10 {
			t.Errorf("meshd holds %d kB after two bodies of 1 GB", kb)
		}
	})
	if got := leases(a); len(got) != 0 {
		t.Errorf("leases after bad requests = %+v, want none", got)
	}
}

// wantAnswer sends one request and wants this status and, for an error, the JSON that says why.
func wantAnswer(t *testing.T, h *lab.Host, method, path string, body io.Reader, status int) {
	t.Helper()
	req, err := http.NewRequest(method, "http://meshd"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.API().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status || !bytes.Contains(answer, []byte(`"error"`)) || len(answer) > 2000 {
		t.Errorf("%s %.60s = %d %.300s, want %d and an error of a line", method, path, resp.StatusCode, answer, status)
	}
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func residentKB(t *testing.T, pid int) (kb int) {
	t.Helper()
	return memoryKB(t, pid, "VmRSS")
}

// memoryKB returns a field of /proc/PID/status.
func memoryKB(t *testing.T, pid int, field string) (kb int) {
	t.Helper()
	file, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(file), "\n"+field+":")
	if _, err := fmt.Sscan(value, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}

// CNI config with unknown network; container netns gone.
//
//	a: cnitool with what it should not be given
func TestCNIBadInput(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	mesh(t, "mesh", a)
	a.WriteCNI("unknown", "1.0.0", `, "network": "nope"`)
	a.WriteCNI("mesh", "1.0.0", "")
	a.WriteCNI("typo", "1.0.0", `, "mtu": "big"`)
	a.WriteCNI("down", "1.0.0", `, "socket": "/run/nobody-listens.sock"`)
	a.Output("ip", "netns", "add", "c")
	for conf, word := range map[string]string{"unknown": "nope", "typo": "mtu", "down": "/run/nobody-listens.sock"} {
		r := a.TryCNI("add", conf, "c")
		if r.Code == 0 {
			t.Errorf("cnitool add %s succeeded", conf)
		}
		wantLine(t, "cnitool add "+conf, r.Stdout+r.Stderr, word)
	}
	if r := a.Try("ip", "netns", "exec", "c", "ip", "-o", "link"); strings.Contains(r.Stdout, "eth0") {
		t.Errorf("a failed ADD left an interface: %s", r.Stdout)
	}
	if r := a.TryCNI("add", "mesh", "gone"); r.Code == 0 {
		t.Error("cnitool add with a netns that is not there succeeded")
	}

	a.TryCNI("add", "mesh", "c")
	a.Output("ip", "netns", "del", "c")
	for range 2 {
		if r := a.TryCNI("del", "mesh", "c"); r.Code != 0 {
			t.Errorf("cnitool del after the netns has gone: exit %d: %s", r.Code, r.Stdout+r.Stderr)
		}
	}
	if got := leases(a); len(got) != 0 {
		t.Errorf("leases after del = %+v, want none", got)
	}
	if links := a.Output("ip", "-o", "link", "show", "type", "veth"); strings.Count(links, "\n") > 0 {
		t.Errorf("host ends of containers are left:\n%s", links)
	}
}

// An error aborts the container's start with one clear line that reaches the user.
//
//	a: lxc-start while meshd is down, and in a network that does not exist
func TestLXCStartAborts(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	start := func(name string, style lab.LXC, words ...string) {
		style.Name = name
		a.WriteLXC(style)
		log := "/run/" + name + ".log"
		r := a.Try("lxc-start", "-n", name, "-o", log, "-l", "DEBUG")
		if r.Code == 0 {
			t.Errorf("%s started", name)
		}
		var lines []string
		for line := range strings.Lines(r.Stdout + r.Stderr) {
			if strings.Contains(line, "lxc-hook: ") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if len(lines) != 1 {
			t.Errorf("%s: %d lines of lxc-hook reach the user, want 1: %q\n%s", name, len(lines), lines, a.Output("cat", log))
			return
		}
		wantLine(t, "lxc-start -n "+name, lines[0], append(words, name)...)
		if state := a.Output("lxc-info", "-n", name, "-sH"); state != "STOPPED" {
			t.Errorf("%s is %s, want STOPPED", name, state)
		}
	}
	start("down1", lab.LXC{Hook: lab.HookVeth}, lab.Socket)
	start("down2", lab.LXC{Hook: lab.HookEmpty, Version: 1}, lab.Socket)
	a.StartMeshd()
	start("none", lab.LXC{Hook: lab.HookVeth, Version: 1}, "network")
	a.Output("meshctl", "network", "create", "mesh")
	start("nope", lab.LXC{Hook: lab.HookEmpty, HookArgs: "--network nope"}, "nope")
	if got := leases(a); len(got) != 0 {
		t.Errorf("leases after aborted starts = %+v, want none", got)
	}
	a.LXC(lab.LXC{Name: "fine"})
	if got := status(a).Networks[0].State; got != api.NetworkUp {
		t.Errorf("network is %s", got)
	}
}
