package tap_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"meshnet/meshd/tap"
)

// A new bridge has the given MTU and MAC, "no spanning tree and a forward delay of 0, no multicast snooping, no IPv6".
func TestEnsureBridgeMakesIt(t *testing.T) {
	newNamespace(t)
	created, err := tap.EnsureBridge("meshbr0", 1400, macA)
	if !created || err != nil {
		t.Fatalf("EnsureBridge = %v, %v, want true, <nil>", created, err)
	}
	bridge := mustLink(t, "meshbr0").(*netlink.Bridge)
	attrs := bridge.Attrs()
	if attrs.MTU != 1400 || [6]byte(attrs.HardwareAddr) != macA || attrs.Flags&net.FlagUp == 0 {
		t.Errorf("MTU %d, MAC %v, flags %v; want 1400, %v, up", attrs.MTU, attrs.HardwareAddr, attrs.Flags, macA)
	}
	if bridge.MulticastSnooping == nil || *bridge.MulticastSnooping {
		t.Error("multicast snooping is on")
	}
	wantNoIPv6(t, "meshbr0")
	details, err := exec.Command("ip", "-d", "link", "show", "meshbr0").CombinedOutput() // in this thread's namespace
	if err != nil {
		t.Fatalf("ip link: %v: %s", err, details)
	}
	for _, want := range []string{"forward_delay 0 ", "stp_state 0 "} {
		if !strings.Contains(string(details), want) {
			t.Errorf("the bridge has not %q: %s", want, details)
		}
	}
}

// The MAC stays while ports come and go, and the MTU is not lowered by theirs.
func TestBridgeKeepsMAC(t *testing.T) {
	newNamespace(t)
	if _, err := tap.EnsureBridge("meshbr0", 1500, macB); err != nil {
		t.Fatal(err)
	}
	open(t, tap.Config{Name: "mesh0", MTU: 1500})
	for range 2 { // the second time it is a port already
		if err := tap.Attach("mesh0", "meshbr0"); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustLink(t, "meshbr0").Attrs().HardwareAddr; [6]byte(got) != macB {
		t.Errorf("MAC with a port = %v, want %v", got, macB)
	}
}

// "A bridge that is there already is used as it is, only set up if it was down."
func TestEnsureBridgeUsesWhatIsThere(t *testing.T) {
	newNamespace(t)
	there := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lxcbr0", MTU: 1450, HardwareAddr: macB[:]}}
	if err := netlink.LinkAdd(there); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		created, err := tap.EnsureBridge("lxcbr0", 1500, macA)
		if created || err != nil {
			t.Errorf("EnsureBridge = %v, %v, want false, <nil>", created, err)
		}
	}
	bridge := mustLink(t, "lxcbr0").(*netlink.Bridge)
	attrs := bridge.Attrs()
	if attrs.MTU != 1450 || [6]byte(attrs.HardwareAddr) != macB || !*bridge.MulticastSnooping {
		t.Errorf("MTU %d, MAC %v, snooping %v: the bridge was changed", attrs.MTU, attrs.HardwareAddr,
			*bridge.MulticastSnooping)
	}
	if attrs.Flags&net.FlagUp == 0 {
		t.Error("the bridge is down")
	}
}

func TestBridgeErrors(t *testing.T) {
	newNamespace(t)
	addVeth(t, "veth0", "veth1")
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	ensure := func(name string, mtu int, mac [6]byte) error {
		_, err := tap.EnsureBridge(name, mtu, mac)
		return err
	}
	tests := []struct {
		name string
		err  error
		says string
	}{
		{"taken", ensure("veth0", 1500, macA), `making bridge veth0: the name is taken by a device of kind "veth"`},
		{"bad name", ensure("a/b", 1500, macA), "no device name"},
		{"multicast MAC", ensure("br1", 1500, [6]byte{1, 0, 0, 0, 0, 1}), "making bridge br1"},
		{"bad MTU", ensure("br1", 1, macA), "making bridge br1"},
		{"remove another kind", tap.RemoveBridge("veth0"), "kind \"veth\""},
		{"no such bridge", tap.Attach("veth0", "br1"), "attaching veth0 to bridge br1: there is no such bridge"},
		{"no such port", tap.Attach("mesh7", "meshbr0"), "attaching mesh7 to bridge meshbr0"},
		{"a port of no bridge", tap.Attach("veth0", "veth1"), "kind \"veth\""},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: error = %v, want it to say %q", tt.name, tt.err, tt.says)
		}
	}
	if _, err := netlink.LinkByName("br1"); err == nil {
		t.Error("a bridge that could not be made is there")
	}
}

// "RemoveBridge removes the bridge; that there is none is not an error. What is still in it loses it, and nothing else."
func TestRemoveBridge(t *testing.T) {
	newNamespace(t)
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	open(t, tap.Config{Name: "mesh0"})
	if err := tap.Attach("mesh0", "meshbr0"); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"with a port", "again"} {
		if err := tap.RemoveBridge("meshbr0"); err != nil {
			t.Errorf("RemoveBridge %s = %v, want <nil>", when, err)
		}
		if tap.BridgeExists("meshbr0") {
			t.Errorf("the bridge is there after RemoveBridge %s", when)
		}
	}
	if !tap.Exists("mesh0") {
		t.Error("the port has gone with the bridge")
	}
}

// A device of another kind exists, but not as a bridge.
func TestExists(t *testing.T) {
	newNamespace(t)
	addVeth(t, "veth0", "veth1")
	if _, err := tap.EnsureBridge("meshbr0", 1500, macA); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name           string
		exists, bridge bool
	}{
		{"meshbr0", true, true},
		{"veth0", true, false},
		{"mesh0", false, false},
		{"no/name", false, false},
	}
	for _, tt := range tests {
		if exists, bridge := tap.Exists(tt.name), tap.BridgeExists(tt.name); exists != tt.exists || bridge != tt.bridge {
			t.Errorf("%s: Exists = %v, BridgeExists = %v, want %v, %v", tt.name, exists, bridge, tt.exists, tt.bridge)
		}
	}
}

// "Those ports of one bridge whose name or alias match says that it wants" move; all others stay.
func TestMovePorts(t *testing.T) {
	newNamespace(t)
	for _, name := range []string{"meshbr0", "lxdbr0"} {
		if _, err := tap.EnsureBridge(name, 1500, macA); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]string{{"named0", "named1"}, {"alias0", "alias1"}, {"other0", "other1"}, {"free0", "free1"}} {
		addVeth(t, pair[0], pair[1])
	}
	if err := netlink.LinkSetAlias(mustLink(t, "alias0"), "web/eth0"); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"named0", "alias0", "other0"} {
		if err := tap.Attach(port, "meshbr0"); err != nil {
			t.Fatal(err)
		}
	}
	ours := func(name string) bool { return name == "named0" || name == "web/eth0" || name == "free0" }
	for _, when := range []string{"first", "again"} {
		if err := tap.MovePorts("meshbr0", "lxdbr0", ours); err != nil {
			t.Fatalf("MovePorts %s: %v", when, err)
		}
		for port, bridge := range map[string]string{"named0": "lxdbr0", "alias0": "lxdbr0", "other0": "meshbr0", "free0": ""} {
			got := ""
			if index := mustLink(t, port).Attrs().MasterIndex; index != 0 {
				link, err := netlink.LinkByIndex(index)
				if err != nil {
					t.Fatal(err)
				}
				got = link.Attrs().Name
			}
			if got != bridge {
				t.Errorf("MovePorts %s: %s is in %q, want %q", when, port, got, bridge)
			}
		}
	}
	if err := tap.MovePorts("gone0", "lxdbr0", ours); err != nil {
		t.Errorf("MovePorts of a bridge that is not there = %v, want <nil>", err)
	}
	if err := tap.MovePorts("meshbr0", "gone0", ours); err == nil || !strings.Contains(err.Error(), "there is no bridge gone0") {
		t.Errorf("MovePorts to a bridge that is not there = %v, want an error that says so", err)
	}
}
