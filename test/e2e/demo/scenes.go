package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"meshnet/meshd/api"
	"meshnet/test/e2e/lab"
)

// cast is who is on stage.
type cast struct {
	*stage
	lab            *lab.Lab
	a, b, c        *lab.Host
	web, db, cache *lab.Container
	token          string
	recording      *lab.Capture
}

// patience is how long anything may take before the demo says that it failed.
const patience = 20 * time.Second

// run shows a command, runs it on h and shows its answer. The token is shown as $TOKEN, for it is long.
func (p *cast) run(h *lab.Host, args ...string) string {
	command := strings.Join(args, " ")
	if p.token != "" {
		command = strings.ReplaceAll(command, p.token, "$TOKEN")
	}
	p.typed(h, command)
	out := h.Output(args...)
	if out != "" {
		p.output(out, 24)
	}
	return out
}

func (p *cast) network() {
	p.act("Host a makes a network; host b joins with the token")
	for _, h := range []*lab.Host{p.a, p.b} {
		p.typed(h, "meshd &")
		h.StartMeshd()
	}
	p.token = p.run(p.a, "meshctl", "network", "create", "mesh")
	p.run(p.b, "meshctl", "network", "join", p.token)
}

func (p *cast) containers() {
	p.act("LXC and CNI call our plugins; their containers find each other")
	web := lab.LXC{Name: "web"}
	p.a.WriteLXC(web)
	p.typed(p.a, "grep lxc.net /var/lib/lxc/web/config")
	p.output(grep(p.a.Output("cat", "/var/lib/lxc/web/config"), "lxc.net"), 10)
	p.run(p.a, "lxc-start", "-n", "web")
	p.web = p.a.RunningLXC("web")

	p.b.WriteCNI("mesh", "1.0.0", "")
	p.typed(p.b, "cat /etc/cni/net.d/mesh.conflist")
	p.output(p.b.Output("cat", p.b.Dir+"/cni/mesh.conflist"), 10)
	p.run(p.b, "ip", "netns", "add", "db")
	p.typed(p.b, "cnitool add mesh /run/netns/db")
	p.b.Output("cnitool", "add", "mesh", "/run/netns/db")
	p.db = p.b.NetNS("db")

	p.web.Reaches(p.db, patience)
	for _, addr := range p.db.Addrs() {
		p.run(p.a, p.web.Enter("ping", "-c", "1", addr.String())...)
	}
}

func (p *cast) third() {
	p.act("Host c joins by one command, knowing only a; b and c learn each other by themselves")
	p.typed(p.c, "meshd &")
	p.c.StartMeshd()
	began := time.Now()
	p.run(p.c, "meshctl", "network", "join", p.token)
	p.c.WriteLXC(lab.LXC{Name: "cache", Hook: lab.HookEmpty, Version: 1})
	p.run(p.c, "lxc-start", "-n", "cache")
	p.cache = p.c.RunningLXC("cache")
	p.cache.Reaches(p.db, patience)
	p.good("%d ms after `join`, a new container on c reached the one on b", time.Since(began).Milliseconds())
	p.b.Until("`meshctl leases` lists all three containers", func() bool {
		return strings.Count(p.b.Output("meshctl", "leases", "--json"), `"container"`) == 3
	}, func() string { return p.b.Output("meshctl", "leases") })
	for _, h := range []*lab.Host{p.b, p.c} {
		h.Until("`meshctl peers` says that both others are up", func() bool {
			return up(h.Output("meshctl", "peers", "--json")) == 2
		}, func() string { return h.Output("meshctl", "peers") })
	}
	p.run(p.c, "meshctl", "peers")
	p.run(p.b, "meshctl", "status")
	p.run(p.b, "meshctl", "leases")
	p.say("   (A container goes by the ID that its runtime gives it: cnitool made up one for db.)")
}

func (p *cast) blocks() {
	p.act("No two containers ever share an IPv4 address: each host leases from blocks of its own, without asking anybody")
	p.c.Until("`meshctl ipam show` lists a block of each host", func() bool { return owners(p.c) == 3 }, func() string {
		return p.c.Output("meshctl", "ipam", "show")
	})
	p.run(p.c, "meshctl", "ipam", "show")
	p.run(p.c, "meshctl", "ipam", "check")
}

// owners counts the hosts that own a block.
func owners(h *lab.Host) int {
	var list api.IPAMList
	h.JSON(&list, "meshctl", "ipam", "show", "--json")
	found := make(map[string]bool)
	for _, n := range list.IPAM {
		for _, b := range n.Blocks {
			found[b.Node] = true
		}
	}
	return len(found)
}

// up counts the peers with a session in what `meshctl peers --json` prints.
func up(peers string) (n int) {
	var list api.PeerList
	if json.Unmarshal([]byte(peers), &list) != nil {
		return 0
	}
	for _, p := range list.Peers {
		if p.State == api.PeerUp {
			n++
		}
	}
	return n
}

func (p *cast) pairs() {
	p.act("Every container reaches every other (best round trip of three pings over IPv4 and over IPv6, ms)")
	all := []*lab.Container{p.web, p.db, p.cache}
	line := fmt.Sprintf("   %8s", "")
	for _, to := range all {
		line += fmt.Sprintf("%14s", to.Name)
	}
	p.say("%s", line)
	for _, from := range all {
		line := fmt.Sprintf("   %8s", from.Name)
		for _, to := range all {
			if from == to {
				line += fmt.Sprintf("%14s", "·  ·  ")
				continue
			}
			from.Reaches(to, patience)
			line += fmt.Sprintf("%8.2f%6.2f", p.best(from, to.IPv4()), p.best(from, to.Addr()))
		}
		p.say("%s", line)
	}
}

// best returns the shortest round trip of three, in milliseconds.
func (p *cast) best(from *lab.Container, to netip.Addr) float64 {
	best := patience
	for range 3 {
		rtt, err := from.Ping(to, 56)
		if err != nil {
			p.Fatalf("%v", err)
		}
		best = min(best, rtt)
	}
	return float64(best.Microseconds()) / 1000
}

func (p *cast) ciphertext() {
	p.act("What the internet saw")
	const rounds = 5
	for range rounds {
		p.web.Reaches(p.db, patience)
	}
	packets := p.recording.Stop()
	var last lab.Packet
	datagrams := 0
	for _, packet := range packets {
		if packet.Dst.Port() == 7000 {
			datagrams++
			if len(packet.Payload) > 100 {
				last = packet
			}
		}
	}
	if datagrams < 2*rounds {
		p.Fatalf("the recording has only %d datagrams: it proves nothing", datagrams)
	}
	p.say("   Each ping carried 56 times the byte %02x. A datagram as it was recorded, %v to %v:", lab.Pattern, last.Src, last.Dst)
	p.output(hex.Dump(last.Payload[:min(len(last.Payload), 80)]), 5)
	if p.recording.Contains(lab.Plaintext()) {
		p.Fatalf("the content of a ping is readable on the underlay")
	}
	for _, c := range []*lab.Container{p.web, p.db, p.cache} {
		addr := c.Addr().As16()
		if p.recording.Contains(addr[:]) {
			p.Fatalf("the IPv6 address of %s is readable on the underlay", c.Name)
		}
	}
	p.good("%d datagrams searched: no content and no IPv6 address of any container in them", datagrams)
}

func (p *cast) crash() {
	p.act("meshd on b is killed; the containers do not notice more than a pause")
	before := p.web.Link() + p.db.Link()
	ping := p.web.Enter("ping", "-i", "0.1", p.db.IPv4().String())
	pings := p.a.Start(ping...)
	replies := func() int { return strings.Count(pings.Out.String(), "seq=") }
	wait := func(n int, what string) {
		p.lab.Until(patience, what, func() bool { return replies() >= n }, func() string { return pings.Out.String() })
	}
	p.typed(p.a, strings.Join(ping, " ")+" &")
	wait(5, "five replies before the crash")
	p.typed(p.b, "kill -9 $(pidof meshd)")
	p.b.Meshd().Kill9()
	began, had := time.Now(), replies()
	p.typed(p.b, "meshd &")
	p.b.StartMeshd()
	wait(had+2, "a reply after the crash") // the first may have been on its way
	p.good("pings go on %d ms after the kill", time.Since(began).Milliseconds())
	wait(had+5, "five replies after the crash")
	pings.Signal(os.Interrupt)
	if after := p.web.Link() + p.db.Link(); after != before {
		p.Fatalf("the containers' interfaces have changed: now\n%swere\n%s", after, before)
	}
	p.good("the containers kept their interfaces and addresses")
}

// grep returns the lines of text that contain word.
func grep(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}
