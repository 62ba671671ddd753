package netdev_test

import (
	"os/exec"
	"strings"
	"testing"

	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

// tc returns what tc shows of a device's queues.
func tc(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("tc", "qdisc", "show", "dev", name).CombinedOutput()
	if err != nil {
		t.Fatalf("tc qdisc show dev %s: %v: %s", name, err, out)
	}
	return string(out)
}

func links(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "-o", "link").CombinedOutput()
	if err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
	return string(out)
}

// What the container receives is limited on the host's end, what it sends on a device of its own, which goes with the veth.
func TestShape(t *testing.T) {
	n, c, _ := setUp(t)
	ifb := "mi" + c.HostName[2:]
	c.Ingress = netdev.Rate{Rate: 8_000_000, Burst: 800_000}
	c.Egress = netdev.Rate{Rate: 16_000_000, Burst: 800_000}
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	if got := tc(t, c.HostName); !strings.Contains(got, "tbf") || !strings.Contains(got, "rate 8Mbit") || !strings.Contains(got, "ingress") {
		t.Errorf("queues of %s: %s, want a bucket of 8 Mbit/s and ingress", c.HostName, got)
	}
	if got := tc(t, ifb); !strings.Contains(got, "rate 16Mbit") {
		t.Errorf("queues of %s: %s, want a bucket of 16 Mbit/s", ifb, got)
	}
	if err := netdev.Check(n, c); err != nil {
		t.Errorf("Check = %v", err)
	}
	if out, err := exec.Command("tc", "qdisc", "del", "dev", ifb, "root").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := netdev.Check(n, c); err == nil || !strings.Contains(err.Error(), "no limit of 16000000 bits per second") {
		t.Errorf("Check without the bucket = %v", err)
	}
	if err := netdev.Delete(c.HostName); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if got := links(t); strings.Contains(got, ifb) || strings.Contains(got, c.HostName) {
		t.Errorf("after Delete there are\n%s", got)
	}
}

// A container takes its veth along, and nobody but Sweep the rest. What has its veth stays.
func TestSweep(t *testing.T) {
	n, c, remove := setUp(t)
	c.Egress = netdev.Rate{Rate: 16_000_000, Burst: 800_000}
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	ifb := "mi" + c.HostName[2:]
	if err := netdev.Sweep(); err != nil || !strings.Contains(links(t), ifb) {
		t.Errorf("Sweep = %v, and %s is not there with its veth", err, ifb)
	}
	n.Close()
	remove()
	for strings.Contains(links(t), c.HostName) { // the kernel's worker removes it
	}
	if err := netdev.Sweep(); err != nil || strings.Contains(links(t), ifb) {
		t.Errorf("Sweep = %v, want %s gone:\n%s", err, ifb, links(t))
	}
}

// Veths are found by the alias of who made them.
func TestList(t *testing.T) {
	n, c, _ := setUp(t)
	c.Alias = "cni:podnet"
	if _, err := netdev.Add(n, c); err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]int{"cni:podnet": 1, "cni:pod": 0} {
		if got, err := netdev.List(alias); err != nil || len(got) != want || want == 1 && got[0] != c.HostName {
			t.Errorf("List(%q) = %q, %v, want %d", alias, got, err, want)
		}
	}
}

func TestCheckRate(t *testing.T) {
	for _, row := range []struct {
		rate netdev.Rate
		want string
	}{
		{netdev.Rate{}, ""},
		{netdev.Rate{Rate: 1000, Burst: 1514 * 8}, ""},
		{netdev.Rate{Rate: 1000}, "must both be given"},
		{netdev.Rate{Burst: 100_000}, "must both be given"},
		{netdev.Rate{Rate: 1000, Burst: 1513 * 8}, "less than one frame, 12112 bits"},
		{netdev.Rate{Rate: 1000, Burst: 1 << 40}, "is more than"},
	} {
		err := netdev.CheckRate(row.rate, 1500)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("CheckRate(%+v) = %v, want %q", row.rate, err, row.want)
		}
	}
}

// setUp makes a host and a container, and says how its interface has to be.
func setUp(t *testing.T) (*netdev.Namespace, netdev.Config, func()) {
	t.Helper()
	meshdtest.Host(t)
	path, remove := meshdtest.Container(t)
	return open(t, path), testConfig(), remove
}
