package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// The plugin dies before any of its calls that others see: to meshd (connect, write), to the kernel's network (sendto), to
// enter the container's namespace (setns), and before it tells its success (exit_group). Then CHECK tells the truth, DEL and GC each free
// what is left, and who is alive keeps all.
//
//	a: live, and the victims, one after the other ══ underlay ══ b: db
func TestPluginKilledAnywhere(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	mesh(t, "mesh", hosts...)
	for _, h := range hosts {
		h.WriteCNI("mesh", "1.1.0", "")
	}
	a := hosts[0]
	live, db := a.CNI("mesh", "live"), hosts[1].CNI("mesh", "db")
	allReach(t, live, db)
	k := killing{T: t, host: a, live: leaseOf(t, live), veths: veths(a)}
	before := live.Link()
	for _, command := range []string{"ADD", "DEL", "GC"} {
		for _, syscall := range []string{"connect", "write", "sendto", "setns", "exit_group"} {
			points := 0
			for k.killed(command, syscall, points+1) {
				points++
			}
			t.Logf("%s was killed before %d calls of %s", command, points, syscall)
			if points == 0 && (command == "ADD" || syscall != "setns") {
				t.Errorf("%s never called %s", command, syscall)
			}
		}
	}
	if got := live.Link(); got != before {
		t.Errorf("the interface of live is now\n%swas\n%s", got, before)
	}
	live.Reaches(db, waitMesh)
	db.Reaches(live, waitMesh)
	a.Output("meshctl", "ipam", "check")
}

// killing is a host on which plugins are killed, and what has to be there after each has been cleaned up.
type killing struct {
	*testing.T
	host  *lab.Host
	live  string // container ID
	veths string
}

// victim is the environment of a plugin for the container that dies.
func victim(command string) []string {
	return []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=victim", "CNI_NETNS=/run/netns/victim", "CNI_IFNAME=eth0"}
}

const plainInput = `{"cniVersion": "1.1.0", "name": "mesh", "type": "cni-meshnet"}`

// killed kills a command before the n-th call of syscall, and cleans up by DEL and, in a second go, by GC. It returns false if the
// command has not so many of them.
func (k killing) killed(command, syscall string, n int) bool {
	k.Helper()
	for _, cleaner := range []string{"DEL", "GC"} {
		at := fmt.Sprintf("%s killed before %s number %d, then %s", command, syscall, n, cleaner)
		k.host.Output("ip", "netns", "add", "victim")
		input, result := plainInput, ""
		if command != "ADD" {
			r := k.host.Plugin(plainInput, victim("ADD")...)
			if r.Code != 0 {
				k.Fatalf("%s: ADD before it: exit %d: %s", at, r.Code, r.Stdout)
			}
			result = r.Stdout
		}
		if command == "GC" {
			input = gcInput(k.live)
		}
		r, survived := k.host.KilledPlugin(syscall, n, input, victim(command)...)
		if survived && r.Code != 0 {
			k.Errorf("%s: it survived and failed: exit %d: %s", at, r.Code, r.Stdout)
		}
		if result != "" {
			k.checks(at, result)
		}
		var clean lab.Result
		if cleaner == "DEL" {
			clean = k.host.Plugin(plainInput, victim("DEL")...)
		} else {
			clean = collect(k.host, k.live)
		}
		if clean.Code != 0 {
			k.Errorf("%s: exit %d: %s", at, clean.Code, clean.Stdout)
		}
		k.onlyLive(at)
		k.host.Output("ip", "netns", "del", "victim")
		if survived {
			return false
		}
	}
	return true
}

// checks compares CHECK with what is there: it passes as long as both interface and lease are.
func (k killing) checks(at, result string) {
	k.Helper()
	var input map[string]any
	if err := json.Unmarshal([]byte(plainInput), &input); err != nil {
		k.Fatal(err)
	}
	input["prevResult"] = json.RawMessage(result)
	text, err := json.Marshal(input)
	if err != nil {
		k.Fatal(err)
	}
	link := k.link()
	lease := len(k.leases()) == 2
	r := k.host.Plugin(string(text), victim("CHECK")...)
	if (r.Code == 0) != (link && lease) {
		k.Errorf("%s: CHECK: exit %d: %s, while interface: %v, lease: %v", at, r.Code, r.Stdout, link, lease)
	}
}

// onlyLive fails if anything but live is there: a lease, a veth, the container's end of one.
func (k killing) onlyLive(at string) {
	k.Helper()
	if got := strings.Join(k.leases(), " "); got != k.live {
		k.Errorf("%s: leases = %s, want %s", at, got, k.live)
	}
	if got := veths(k.host); got != k.veths {
		k.Errorf("%s: veths are\n%s\nwant\n%s", at, got, k.veths)
	}
	if got := k.host.Output("ip", "netns", "exec", "victim", "ip", "-o", "link", "show", "type", "veth"); got != "" {
		k.Errorf("%s: the container has %s", at, got)
	}
}

func (k killing) leases() []string {
	k.Helper()
	var own []string
	for _, l := range leases(k.host) {
		if l.Node == k.host.Name {
			own = append(own, l.Container)
		}
	}
	return own
}

// veths lists the host's ends, and whatever other interface is not its own.
func veths(h *lab.Host) string { return h.Output("ip", "-o", "link", "show", "type", "veth") }
