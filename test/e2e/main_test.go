// Package e2e tests the programs as a user runs them, on simulated hosts (see lab): only what needs a kernel or a
// runtime is here. Each test draws its topology and quotes the sentence that it tests.
package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// binVar names the environment variable with the directory of the programs under test. If the caller sets it, what is
// there is tested as it is; else TestMain builds the programs.
const binVar = "MESHNET_BIN"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(binVar) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "meshnet-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // unprivileged users run them, too
	}
	if err == nil {
		err = lab.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(binVar, dir)
	return m.Run()
}

// waitMesh is how long a new member may take until its containers are reached, on a busy machine.
const waitMesh = 15 * time.Second

// newLab returns a Lab for one test, which runs beside others.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	t.Parallel()
	return lab.New(t, os.Getenv(binVar))
}

// mesh starts meshd on each host and makes a network of that name of them: the first creates, the others join.
func mesh(t *testing.T, name string, hosts ...*lab.Host) (token string) {
	t.Helper()
	for _, h := range hosts {
		h.StartMeshd()
	}
	token = hosts[0].Output("meshctl", "network", "create", name)
	for _, h := range hosts[1:] {
		h.Output("meshctl", "network", "join", token)
	}
	meshed(t, hosts...)
	return token
}

// meshed waits until each host has a session with each other.
func meshed(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.Until("a session with every other host", func() bool {
			up := 0
			for _, p := range peers(h) {
				if p.State == api.PeerUp {
					up++
				}
			}
			return up >= len(hosts)-1
		}, func() string { return h.Try("meshctl", "peers").Stdout })
	}
}

func status(h *lab.Host) api.Status {
	var s api.Status
	h.JSON(&s, "meshctl", "status", "--json")
	return s
}

func peers(h *lab.Host) []api.Peer {
	var l api.PeerList
	h.JSON(&l, "meshctl", "peers", "--json")
	return l.Peers
}

func leases(h *lab.Host) []api.Lease {
	var l api.LeaseList
	h.JSON(&l, "meshctl", "leases", "--json")
	return l.Leases
}

// lists waits until every host lists exactly these containers.
func lists(t *testing.T, hosts []*lab.Host, containers ...*lab.Container) {
	t.Helper()
	want := map[string]string{}
	for _, c := range containers {
		want[c.Host.Name+"/"+c.Name] = fmt.Sprint(c.Addrs())
	}
	for _, h := range hosts {
		var got map[string]string
		h.Until(fmt.Sprintf("lists %v", want), func() bool {
			got = map[string]string{}
			for _, l := range leases(h) {
				slices.SortFunc(l.Addresses, netip.Addr.Compare)
				got[l.Node+"/"+l.Container] = fmt.Sprint(l.Addresses)
			}
			return fmt.Sprint(got) == fmt.Sprint(want)
		}, func() string { return fmt.Sprintf("it lists %v", got) })
	}
}

// allReach pings from each container to each other, over IPv4 and over IPv6.
func allReach(t *testing.T, containers ...*lab.Container) {
	t.Helper()
	for _, c := range containers {
		if got := c.Addrs(); len(got) != 2 || !got[0].Is4() || !got[1].Is6() {
			t.Errorf("addresses of %s/%s = %v, want one of IPv4 and one of IPv6", c.Host.Name, c.Name, got)
		}
	}
	for _, from := range containers {
		for _, to := range containers {
			if from != to {
				t.Logf("%s/%s to %s/%s: %v", from.Host.Name, from.Name, to.Host.Name, to.Name, from.Reaches(to, 10*time.Second))
			}
		}
	}
}

// counted sums what the host dropped for a reason that begins with prefix.
func counted(h *lab.Host, match func(reason string) bool) (sum uint64) {
	s := status(h)
	all := []map[string]uint64{s.Counters}
	for _, n := range s.Networks {
		all = append(all, n.Counters)
	}
	for _, counters := range all {
		for reason, n := range counters {
			if match(reason) {
				sum += n
			}
		}
	}
	return sum
}
