package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// site is two hosts on a cable, each with a bridge br0 and a container on it, and what a peer has started on them.
type site struct {
	tb    *stage
	ctx   context.Context
	bin   string // directory with the programs of meshnet
	cond  condition
	hosts [2]*lab.Host
	boxes [2]*lab.Container
	addrs [2]netip.Addr // of the containers

	daemons []*lab.Process
}

// underlay and tunnel are the addresses of the hosts on the cable and in a peer's own subnet.
var (
	underlay = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	tunnel   = [2]netip.Addr{netip.MustParseAddr("10.78.0.1"), netip.MustParseAddr("10.78.0.2")}
)

// openContainer lets TCP have as much under way as 40 ms of several Gbit/s are: the default, 6 MiB, would be the limit.
const openContainer = "ip link set lo up; for f in tcp_rmem tcp_wmem; do echo 4096 131072 67108864 > /proc/sys/net/ipv4/$f; done"

// newSite boots the hosts and lays the cable that the condition asks for. It is gone when tb's cleanups have run.
func newSite(ctx context.Context, tb *stage, bin string, c condition) *site {
	s := &site{tb: tb, ctx: ctx, bin: bin, cond: c}
	l := lab.New(tb, bin)
	copy(s.hosts[:], l.Hosts("a", "b"))
	var pids [2]int
	for i, h := range s.hosts {
		pids[i] = h.Start("sleep", "infinity").Pid()
		h.Output("ip", "link", "del", "eth0") // the lab's underlay is a bridge: one more thing to measure
		h.Output("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 > $f; done; echo 1 > /proc/sys/net/ipv4/ip_forward")
	}
	if c.Delay > 0 {
		s.shuttle(pids)
	} else {
		s.hosts[0].Output("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "cable")
		s.move("cable", pids)
	}
	for i, h := range s.hosts {
		h.Output("ip", "addr", "add", underlay[i].String()+"/24", "dev", "eth0")
		h.Output("ip", "link", "set", "eth0", "mtu", strconv.Itoa(c.UnderlayMTU), "up")
		h.Output("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
		h.Output("ip", "link", "set", "br0", "up")
		h.Output("ip", "netns", "add", "c")
		s.boxes[i] = h.NetNS("c")
		h.Output(s.boxes[i].Enter("sh", "-c", openContainer)...)
	}
	if c.Loss > 0 {
		s.lose(c.Loss)
	}
	return s
}

// move gives host b the other end of host a's cable. The lab's hosts have a pid namespace each, so neither sees the
// process of the other: the move is made on a thread in a's network only.
func (s *site) move(link string, pids [2]int) {
	s.must(inNetNS(pids[0], func() error {
		return output("ip", "link", "set", link, "netns", strconv.Itoa(pids[1]), "name", "eth0")
	}))
}

func (s *site) must(err error) {
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
}

// lose drops a share of the datagrams at random, each on its own: a veth passes on a super-frame of 64 datagrams as
// one, so segmentation is done before the cable, and the dice are thrown behind it.
func (s *site) lose(percent float64) {
	for _, h := range s.hosts {
		h.Output("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "tx-udp-segmentation", "off",
			"tx-udp_tnl-segmentation", "off", "tx-udp_tnl-csum-segmentation", "off")
		r := h.TryInput(lossRules(percent), "nft", "-f", "-")
		if r.Code != 0 {
			s.tb.Fatalf("nft: %s", r.Stderr)
		}
	}
}

// lossRules returns the nftables ruleset by which eth0 loses that share of what arrives.
func lossRules(percent float64) string {
	return fmt.Sprintf("table netdev bench {\n chain cable {\n  type filter hook ingress device \"eth0\" priority 0\n"+
		"  numgen random mod 100000 < %d drop\n }\n}\n", int(percent*1000))
}

// daemon starts a program that belongs to the peer: its CPU time counts.
func (s *site) daemon(host int, args ...string) *lab.Process {
	p := s.hosts[host].Start(args...)
	s.daemons = append(s.daemons, p)
	s.tb.Cleanup(func() {
		if s.tb.failed {
			s.tb.Logf("%s on host %s: %s", args[0], s.hosts[host].Name, lastLines(p.Out.String()+p.Err.String(), 5))
		}
	})
	return p
}

// awaitLink waits until a daemon has made its interface.
func (s *site) awaitLink(host int, p *lab.Process, link string) {
	s.hosts[host].Within(10*time.Second, link+" is there", func() bool {
		if p.Ended(0) {
			s.tb.Fatalf("host %s: the daemon ended with exit %d", s.hosts[host].Name, p.Code())
		}
		return s.hosts[host].Try("ip", "link", "show", "dev", link).Code == 0
	}, nil)
}

// bridged plugs the containers into br0 and link with them: the peer carries frames.
func (s *site) bridged(link string) {
	for i, h := range s.hosts {
		h.Output("ip", "link", "set", link, "mtu", strconv.Itoa(s.linkMTU(link)), "master", "br0", "up")
		s.plug(i, netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}), 16)
	}
}

// linkMTU is the MTU that a port of the bridge needs: the cable itself keeps its own.
func (s *site) linkMTU(link string) int {
	if link == "eth0" {
		return s.cond.UnderlayMTU
	}
	return s.cond.MTU
}

// tunnelMTU is the MTU of a peer of layer 3 that adds overhead bytes to a packet: as its documentation wants it, what
// fits the underlay. Routers tell containers with a larger MTU by ICMP.
func (s *site) tunnelMTU(overhead int) int { return min(s.cond.MTU, s.cond.UnderlayMTU-overhead) }

// routed plugs the containers into a br0 that is their router, with link as the way to the other's subnet: the peer
// carries packets, of mtu bytes. via is the other host's address in the peer's own subnet, or invalid.
func (s *site) routed(link string, mtu int, via [2]netip.Addr) {
	for i, h := range s.hosts {
		router := netip.AddrFrom4([4]byte{10, 77, byte(i + 1), 254})
		h.Output("ip", "addr", "add", router.String()+"/24", "dev", "br0")
		h.Output("ip", "link", "set", link, "mtu", strconv.Itoa(mtu), "up")
		route := []string{"ip", "route", "replace", subnet(1 - i).String(), "dev", link}
		if via[1-i].IsValid() {
			route = append(route, "via", via[1-i].String())
		}
		h.Output(route...)
		s.plug(i, netip.AddrFrom4([4]byte{10, 77, byte(i + 1), 1}), 24)
		h.Output(s.boxes[i].Enter("ip", "route", "add", "default", "via", router.String())...)
	}
}

// subnet returns the containers' subnet of a host for a peer of layer 3.
func subnet(host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(host + 1), 0}), 24)
}

// plug gives the container of a host an eth0 on br0.
func (s *site) plug(i int, addr netip.Addr, bits int) {
	h, mtu := s.hosts[i], strconv.Itoa(s.cond.MTU)
	h.Output("ip", "link", "add", "v0", "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu, "netns", "c")
	h.Output("ip", "link", "set", "v0", "master", "br0", "up")
	h.Output(s.boxes[i].Enter("ip", "addr", "add", fmt.Sprintf("%v/%d", addr, bits), "dev", "eth0")...)
	h.Output(s.boxes[i].Enter("ip", "link", "set", "eth0", "up")...)
	s.addrs[i] = addr
}

// joined waits until the containers reach each other, with packets as large as the MTU allows, too. Whoever cannot carry
// those may fragment them; TCP never sends any, being told by ICMP.
func (s *site) joined() {
	for _, size := range []int{56, s.cond.MTU - 28} {
		var last lab.Result
		s.hosts[0].Within(20*time.Second, fmt.Sprintf("a ping of %d bytes comes back", size), func() bool {
			s.alive()
			last = s.boxes[0].Try("ping", "-c", "1", "-W", "1", "-M", "dont", "-s", strconv.Itoa(size), s.addrs[1].String())
			return last.Code == 0
		}, func() string { return lastLines(last.Stdout+last.Stderr, 3) })
	}
}

// alive ends the measurement if the run was interrupted or a daemon has ended.
func (s *site) alive() {
	if s.ctx.Err() != nil {
		s.tb.Fatalf("interrupted")
	}
	for _, d := range s.daemons {
		if d.Ended(0) {
			s.tb.Fatalf("a daemon has ended: %s", lastLines(d.Out.String()+d.Err.String(), 1))
		}
	}
}

// cpu returns the CPU time that the peer's daemons have used on both hosts.
func (s *site) cpu() time.Duration {
	var sum time.Duration
	for _, p := range s.daemons {
		t, err := cpuTime(p.Pid())
		s.must(err)
		sum += t
	}
	return sum
}

// inNetNS calls f on a thread of its own in the network namespace of a process.
func inNetNS(pid int, f func() error) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the network of process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	return onOwnThread(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network of process %d: %w", pid, err)
		}
		return f()
	})
}

// lastLines returns the last n lines of a log, on one line.
func lastLines(log string, n int) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
