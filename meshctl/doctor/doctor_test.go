package doctor

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"meshnet/meshd/api"
)

// healthy is a host that has nothing to complain of.
func healthy() Facts {
	yes := true
	return Facts{
		Kernel: "6.12.9-amd64", Synced: &yes, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:10.0.0.5")},
		Status: api.Status{
			Version: "1.0", NodeName: "web-1", Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:7000"), netip.MustParseAddrPort("[::]:7000")},
			Offloads: []api.Offload{{Name: "udp-gso", On: true}},
			Networks: []api.Network{{
				Name: "home", State: api.NetworkUp, Peers: api.PeerCount{Up: 2, Total: 2}, Offloads: []api.Offload{{Name: "tap-tso", On: true}},
				Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("10.0.0.5:7000")},
			}},
		},
		Peers: []api.Peer{{Network: "home", Name: "db-1", State: api.PeerUp, PathMTU: 1500}, {Network: "home", Name: "db-2", State: api.PeerUp}},
	}
}

func TestHealthyHost(t *testing.T) {
	for _, f := range Diagnose(healthy()) {
		if f.Level != OK || f.Remedy != "" {
			t.Errorf("%+v, want ok and no remedy", f)
		}
	}
}

// Each fact that is not as it should be is one finding, which says what to do; the rest stays as it is.
func TestDiagnose(t *testing.T) {
	no := false
	for _, test := range []struct {
		name   string
		change func(f *Facts)
		want   Finding // Text and Remedy: what they contain
	}{
		{"old kernel", func(f *Facts) { f.Kernel = "4.19.0-26-amd64" }, Finding{Warn, "kernel", "no datagrams that are received as one (UDP_GRO), no a gateway", "6.2"}},
		{"strange kernel", func(f *Facts) { f.Kernel = "next" }, Finding{Warn, "kernel", "unknown version", ""}},
		{"no tun", func(f *Facts) { f.TUN = errors.New("no such device") }, Finding{Fail, "tun", "no such device", "modprobe tun"}},
		{"clock", func(f *Facts) { f.Synced = &no }, Finding{Warn, "clock", "nothing keeps it right", "set-ntp"}},
		{"no meshd", func(f *Facts) { f.Meshd = errors.New("is meshd running?") }, Finding{Fail, "meshd", "is meshd running?", "systemctl start meshd"}},
		{"offload", func(f *Facts) { f.Status.Networks[0].Offloads[0] = api.Offload{Name: "tap-tso", Why: "switched off"} },
			Finding{Warn, "offload tap-tso", "switched off", ""}},
		{"overflow", func(f *Facts) { f.Status.Counters = map[string]uint64{"udp_receive_overflow": 7} }, Finding{Warn, "receive buffer", "7 datagrams", "rmem_max"}},
		{"meshd's warning", func(f *Facts) { f.Status.Warnings = []string{"look here"} }, Finding{Warn, "meshd", "look here", ""}},
		{"network's warning", func(f *Facts) { f.Status.Networks[0].Warnings = []string{"look there"} }, Finding{Warn, "network home", "look there", ""}},
		{"failed", func(f *Facts) {
			f.Status.Networks[0].State, f.Status.Networks[0].Error = api.NetworkFailed, "no bridge"
		},
			Finding{Fail, "network home", "it is failed: no bridge", ""}},
		{"no network", func(f *Facts) { f.Status.Networks = nil }, Finding{Warn, "networks", "in no network", "meshctl network join"}},
		{"nobody reached", func(f *Facts) {
			f.Status.Networks[0].Peers.Up = 0
			f.Peers[0].State, f.Peers[1].State = api.PeerDown, api.PeerConnecting
		}, Finding{Fail, "network home", "none of its 2 other hosts", "port 7000"}},
		{"nobody heard of", func(f *Facts) { f.Status.Networks[0].Peers = api.PeerCount{}; f.Peers = nil },
			Finding{Fail, "network home", "no other host was heard of since", "port 7000"}},
		{"alone", func(f *Facts) {
			f.Status.Networks[0].Peers, f.Status.Networks[0].Created, f.Peers = api.PeerCount{}, true, nil
		},
			Finding{OK, "network home", "the only one", ""}},
		{"one not reached", func(f *Facts) { f.Status.Networks[0].Peers.Up, f.Peers[1].State = 1, api.PeerDown },
			Finding{Warn, "network home", "1 of 2 other hosts are reached, not db-2", "port 7000"}},
		{"firewall in the way", func(f *Facts) {
			f.Drops, f.Status.Networks[0].Peers.Up, f.Peers[1].State = []string{"inet filter input"}, 1, api.PeerDown
		}, Finding{Warn, "firewall", "inet filter input drops", "accepts UDP to port 7000"}},
		{"firewall with a hole", func(f *Facts) { f.Drops = []string{"inet filter input"} }, Finding{OK, "firewall", "all hosts are reached", ""}},
		{"not root", func(f *Facts) { f.NoDrops = errors.New("permission denied") }, Finding{OK, "firewall", "permission denied", ""}},
		{"cut", func(f *Facts) { f.Peers[0].PathCut, f.Peers[0].PathMTU = true, 1260 }, Finding{Warn, "network home", "1260 bytes to db-1 are cut", "MTU"}},
		{"NAT", func(f *Facts) {
			f.Status.Networks[0].Endpoints = append(f.Status.Networks[0].Endpoints, netip.MustParseAddrPort("203.0.113.9:41000"))
		}, Finding{OK, "NAT", "at 203.0.113.9:41000", "forward"}},
	} {
		f := healthy()
		test.change(&f)
		found := false
		for _, got := range Diagnose(f) {
			if got.Level == test.want.Level && got.Subject == test.want.Subject && strings.Contains(got.Text, test.want.Text) &&
				strings.Contains(got.Remedy, test.want.Remedy) {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: %+v, want %+v among them", test.name, Diagnose(f), test.want)
		}
	}
	for _, f := range Diagnose(Facts{Kernel: "6.12.9", Meshd: errors.New("no")}) {
		if strings.HasPrefix(f.Subject, "network") {
			t.Errorf("without meshd: %+v", f)
		}
	}
}

func TestRelease(t *testing.T) {
	for text, want := range map[string][2]int{"6.1.0-18-amd64": {6, 1}, "5.15-rc1": {5, 15}, "6.18.44-fc-v669": {6, 18}, "7.0": {7, 0}} {
		if major, minor, ok := release(text); !ok || [2]int{major, minor} != want {
			t.Errorf("release(%q) = %d, %d, %v, want %v", text, major, minor, ok, want)
		}
	}
	for _, text := range []string{"", "6", "six.one", "6."} {
		if _, _, ok := release(text); ok {
			t.Errorf("release(%q) is known", text)
		}
	}
}
