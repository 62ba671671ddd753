package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meshnet/meshd/api"
)

var (
	mac1 = api.MAC{0x00, 0x16, 0x3e, 0, 0, 1}
	mac2 = api.MAC{0x00, 0x16, 0x3e, 0, 0, 2}
)

// testNetwork is a network with IPv4 in the bridge mesh.
func testNetwork() api.Network {
	return api.Network{Name: "prod", Bridge: "mesh", State: api.NetworkUp, Pools: []api.Pool{{Prefix: netip.MustParsePrefix("10.77.0.0/16")}}}
}

func testNIC(container string, mac api.MAC, want wish) nic {
	return nic{key: api.AttachmentName{Container: container, IfName: "eth0"}, bridge: "mesh", mac: mac, want: want}
}

// attached is an attachment of LXD's, with addresses, or the other source that is said.
func attached(container string, mac api.MAC, addrs string, source ...api.Source) api.Attachment {
	a := api.Attachment{Network: "prod", Container: container, IfName: "eth0", MAC: mac, Source: api.SourceLXD}
	for _, addr := range strings.Fields(addrs) {
		p := netip.MustParseAddr(addr)
		a.Addresses = append(a.Addresses, netip.PrefixFrom(p, p.BitLen()))
	}
	for _, s := range source {
		a.Source = s
	}
	return a
}

// text shows a change: "-web", or "+web 10.77.0.9 fd00::9 <web", with whose lease is taken over.
func (c change) text() string {
	if c.attach == nil {
		return "-" + c.detach.Container
	}
	text := "+" + c.attach.Container
	if c.attach.MAC == mac2 {
		text += " mac2"
	}
	if c.attach.IPv4 != "" {
		text += " " + c.attach.IPv4
	}
	if c.attach.IPv6.IsValid() {
		text += " " + c.attach.IPv6.String()
	}
	if c.attach.Former != nil {
		text += " <" + c.attach.Former.Container
	}
	return text
}

// TestPlan: "what has to be changed so that the interfaces in the network's bridge, and no others, are attached, each with its MAC and the
// addresses that it asks for".
func TestPlan(t *testing.T) {
	const both = "10.77.0.2 fd00::2"
	nine := wish{ipv4: "10.77.0.9"}
	remote := func(mac api.MAC) []api.Lease {
		return []api.Lease{{Network: "prod", Container: "web", IfName: "eth0", MAC: mac, Node: "b", Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.5")}}}
	}
	moved := map[api.MAC][]netip.Addr{mac1: {netip.MustParseAddr("10.77.0.5"), netip.MustParseAddr("fd00::5")}}
	rows := []struct {
		name        string
		nics        []nic
		attachments []api.Attachment
		leases      []api.Lease
		former      map[api.MAC][]netip.Addr
		want        string // changes, separated by commas
		says        string // a problem
	}{
		{name: "nothing"},
		{name: "a new instance", nics: []nic{testNIC("web", mac1, wish{})}, want: "+web"},
		{name: "that asks for addresses", nics: []nic{testNIC("web", mac1, wish{"10.77.0.9", netip.MustParseAddr("fd00::9")})}, want: "+web 10.77.0.9 fd00::9"},
		{name: "as it is", nics: []nic{testNIC("web", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac1, both)}},
		{name: "as it asks to be", nics: []nic{testNIC("web", mac1, wish{"10.77.0.2", netip.MustParseAddr("fd00::2")})}, attachments: []api.Attachment{attached("web", mac1, both)}},
		{name: "in another bridge", nics: []nic{{key: api.AttachmentName{Container: "web", IfName: "eth0"}, bridge: "lxdbr0", mac: mac1}}},
		{name: "an instance is deleted", attachments: []api.Attachment{attached("web", mac1, both)}, want: "-web"},
		{name: "what others attached stays", attachments: []api.Attachment{attached("web", mac1, both, api.SourceLXC), attached("x", mac2, both, api.SourceDHCP)}},
		{name: "renamed", nics: []nic{testNIC("www", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac1, both)}, want: "+www <web"},
		{name: "renamed, and another has its name now", nics: []nic{testNIC("www", mac1, wish{}), testNIC("web", mac2, wish{})},
			attachments: []api.Attachment{attached("web", mac1, both)}, want: "+www <web,+web mac2"},
		{name: "two have changed their names", nics: []nic{testNIC("web", mac2, wish{}), testNIC("www", mac1, wish{})},
			attachments: []api.Attachment{attached("web", mac1, both), attached("www", mac2, "10.77.0.3 fd00::3")}, want: "-www,+www <web,+web mac2"},
		{name: "renamed to the name of a deleted one", nics: []nic{testNIC("web", mac2, wish{})},
			attachments: []api.Attachment{attached("web", mac1, both), attached("www", mac2, "10.77.0.3 fd00::3")}, want: "-web,+web mac2 <www"},
		{name: "another address", nics: []nic{testNIC("web", mac1, nine)}, attachments: []api.Attachment{attached("web", mac1, both)}, want: "+web 10.77.0.9 <web"},
		{name: "no longer a certain address", nics: []nic{testNIC("web", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac1, "10.77.0.9 fd00::2")}},
		{name: "no IPv4", nics: []nic{testNIC("web", mac1, wish{ipv4: "none"})}, attachments: []api.Attachment{attached("web", mac1, both)}, want: "+web none <web"},
		{name: "no IPv4, and it has none", nics: []nic{testNIC("web", mac1, wish{ipv4: "none"})}, attachments: []api.Attachment{attached("web", mac1, "fd00::2")}},
		{name: "it got no IPv4 address, or lost it", nics: []nic{testNIC("web", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac1, "fd00::2")}, want: "+web <web"},
		{name: "another MAC", nics: []nic{testNIC("web", mac2, wish{})}, attachments: []api.Attachment{attached("web", mac1, both)}, want: "+web mac2 <web"},
		{name: "what goes, goes first", nics: []nic{testNIC("a", mac2, nine)}, attachments: []api.Attachment{attached("web", mac1, "10.77.0.9")}, want: "-web,+a mac2 10.77.0.9"},
		{name: "LXC's container has the name", nics: []nic{testNIC("web", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac2, both, api.SourceLXC)},
			says: "a container of that name is attached already (lxc)"},
		{name: "two have one MAC: the first one", nics: []nic{testNIC("a", mac1, wish{}), testNIC("b", mac1, wish{})}, want: "+a", says: "is that of a/eth0, too"},
		{name: "two have one MAC: who has it already", nics: []nic{testNIC("a", mac1, wish{}), testNIC("b", mac1, wish{})},
			attachments: []api.Attachment{attached("b", mac1, both)}, says: "is that of b/eth0, too"},
		{name: "still on another host", nics: []nic{testNIC("web", mac1, wish{})}, leases: remote(mac1), former: moved, says: "is attached on host b as web/eth0"},
		{name: "moved from another host", nics: []nic{testNIC("web", mac1, wish{})}, leases: remote(mac2), former: moved, want: "+web 10.77.0.5 fd00::5"},
		{name: "moved, and asks for another address", nics: []nic{testNIC("web", mac1, nine)}, former: moved, want: "+web 10.77.0.9 fd00::5"},
		{name: "being moved here", nics: []nic{testNIC("lxd-move-of-823a12d3", mac1, wish{}), testNIC("blue_lxd-move-of-823a12d4", mac2, wish{})}, former: moved},
		{name: "being moved to another pool", nics: []nic{testNIC("lxd-move-of-823a12d3", mac1, wish{})}, attachments: []api.Attachment{attached("web", mac1, both)},
			want: "+lxd-move-of-823a12d3 <web"},
		{name: "asks for what is no address", nics: []nic{{key: api.AttachmentName{Container: "web", IfName: "eth0"}, bridge: "mesh", mac: mac1, trouble: `"x" is no address`}},
			want: "+web", says: "it asks for an address that is none"},
	}
	for _, row := range rows {
		before := fmt.Sprint(row.nics)
		changes, problems := plan(view{testNetwork(), row.attachments, row.leases, row.former}, row.nics)
		var got []string
		for _, c := range changes {
			got = append(got, c.text())
		}
		if strings.Join(got, ",") != row.want {
			t.Errorf("%s: plan = %q, want %q", row.name, got, row.want)
		}
		if row.says == "" && len(problems) > 0 || row.says != "" && (len(problems) != 1 || !strings.Contains(problems[0].text, row.says)) {
			t.Errorf("%s: problems = %v, want one that says %q", row.name, problems, row.says)
		}
		if fmt.Sprint(row.nics) != before {
			t.Errorf("%s: plan has changed what it was given", row.name)
		}
	}
}

// A network without IPv4 has no address that could be missing.
func TestPlanWithoutIPv4(t *testing.T) {
	n := testNetwork()
	n.Pools = nil
	changes, _ := plan(view{network: n, attachments: []api.Attachment{attached("web", mac1, "fd00::2")}}, []nic{testNIC("web", mac1, wish{})})
	if len(changes) != 0 {
		t.Errorf("plan = %v, want nothing", changes)
	}
}

// Whatever instances there are, and whatever is attached: carrying out the plan leaves exactly them attached, each with its MAC, and a second
// plan changes nothing.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0x11, 0x22}, []byte{0x12, 0x31})
	f.Add([]byte{0x11, 0x21}, []byte{0x21})
	f.Fuzz(func(t *testing.T, instances, before []byte) {
		// A byte is a name (its high half) and a MAC (its low half). A name is there once; on one host a MAC is attached once.
		var nics []nic
		for _, b := range instances {
			n := testNIC(fmt.Sprint("i", b>>4), api.MAC{2, 0, 0, 0, 0, b & 15}, wish{})
			if !slices.ContainsFunc(nics, func(o nic) bool { return o.key == n.key }) {
				nics = append(nics, n)
			}
		}
		held := make(map[api.AttachmentName]api.Attachment)
		macs := make(map[api.MAC]api.AttachmentName)
		for _, b := range before {
			a := attached(fmt.Sprint("i", b>>4), api.MAC{2, 0, 0, 0, 0, b & 15}, "10.77.0.2 fd00::2")
			if _, ok := held[nameOf(a)]; !ok && macs[a.MAC] == (api.AttachmentName{}) {
				held[nameOf(a)], macs[a.MAC] = a, nameOf(a)
			}
		}
		list := func() (all []api.Attachment) {
			for _, a := range held {
				all = append(all, a)
			}
			return all
		}
		changes, _ := plan(view{network: testNetwork(), attachments: list()}, nics)
		for _, c := range changes {
			carryOut(t, held, c)
		}
		if more, _ := plan(view{network: testNetwork(), attachments: list()}, nics); len(more) > 0 {
			t.Fatalf("a second plan changes %s", more[0].text())
		}
		seen := make(map[api.MAC]bool)
		for _, a := range held {
			if seen[a.MAC] {
				t.Errorf("two attachments have MAC %v", a.MAC)
			}
			seen[a.MAC] = true
		}
		for _, n := range nics {
			if !seen[n.mac] {
				t.Errorf("MAC %v is not attached", n.mac)
			}
		}
	})
}

// carryOut does to held what meshd does.
func carryOut(t *testing.T, held map[api.AttachmentName]api.Attachment, c change) {
	if c.attach == nil {
		delete(held, api.AttachmentName{Container: c.detach.Container, IfName: c.detach.IfName})
		return
	}
	name := requestName(*c.attach)
	for other, a := range held {
		if a.MAC == c.attach.MAC && other != name && (c.attach.Former == nil || *c.attach.Former != other) {
			t.Errorf("%s: %s has that MAC", c.text(), other.Container)
		}
	}
	if _, ok := held[name]; ok && (c.attach.Former == nil || *c.attach.Former != name) {
		t.Errorf("%s: it has a lease already", c.text())
	}
	if c.attach.Former != nil {
		delete(held, *c.attach.Former)
	}
	held[name] = attached(name.Container, c.attach.MAC, "10.77.0.2 fd00::2")
}
