package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TB is what a Lab needs of its caller; *testing.T has it. Cleanup functions run last-in first-out, as testing's do.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// Lab is an underlay and the hosts on it. It is not safe for concurrent use; different Labs share nothing, so they
// may run side by side.
type Lab struct {
	tb       TB
	bin      string // directory with the binaries of Build
	dir      string // of this Lab; world-searchable
	cgroup   string // name of the cgroup that all containers of this Lab are under
	underlay *namespace
	hosts    []*Host
}

// New makes an underlay without hosts. bin is a directory that Build has filled. Everything is gone when tb's
// cleanups have run.
func New(tb TB, bin string) *Lab {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatalf("the lab makes network namespaces, so it needs root: run as root, or with sudo")
	}
	dir := tb.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatalf("opening the lab's directory to containers: %v", err)
	}
	l := &Lab{tb: tb, bin: bin, dir: dir, cgroup: fmt.Sprintf("meshnet-lab-%d-%d", os.Getpid(), time.Now().UnixNano())}
	l.underlay = l.namespace("underlay", "")
	l.must(l.underlay, "ip", "link", "add", "ix", "type", "bridge", "mcast_snooping", "0")
	l.must(l.underlay, "ip", "link", "set", "ix", "up")
	return l
}

// Hosts boots one host for each name, in order: the n-th host of a Lab has the addresses 192.0.2.n and 2001:db8::n.
func (l *Lab) Hosts(names ...string) []*Host {
	l.tb.Helper()
	var hosts []*Host
	for _, name := range names {
		hosts = append(hosts, l.host(name, true, ""))
	}
	return hosts
}

// HostIPv6 boots a host whose underlay speaks IPv6 only.
func (l *Lab) HostIPv6(name string) *Host {
	l.tb.Helper()
	return l.host(name, false, "")
}

func (l *Lab) host(name string, ipv4 bool, nat NAT) *Host {
	l.tb.Helper()
	n := byte(len(l.hosts) + 1)
	h := &Host{
		Name: name,
		IPv6: netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: n}),
		Dir:  filepath.Join(l.dir, name),
		lab:  l,
		nat:  nat,
	}
	if ipv4 {
		h.IPv4 = netip.AddrFrom4([4]byte{192, 0, 2, n})
	}
	for _, d := range []string{"state", "cni", "plugins"} {
		if err := os.MkdirAll(filepath.Join(h.Dir, d), 0o755); err != nil {
			l.tb.Fatalf("making host %s: %v", name, err)
		}
	}
	l.hosts = append(l.hosts, h)
	h.installPlugins()
	h.boot()
	return h
}

// Until polls cond until it is true, and fails after the deadline with what was waited for. why may be nil, or says
// what stood in the way when time ran out.
func (l *Lab) Until(within time.Duration, what string, cond func() bool, why func() string) {
	l.tb.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			reason := ""
			if why != nil {
				reason = ": " + why()
			}
			l.tb.Fatalf("not within %v: %s%s", within, what, reason)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// must runs a command of the lab itself in ns.
func (l *Lab) must(ns *namespace, args ...string) string {
	l.tb.Helper()
	r := l.try(ns, "", args...)
	if r.Code != 0 {
		l.tb.Fatalf("%s: %s: exit %d: %s", ns.name, strings.Join(args, " "), r.Code, strings.TrimSpace(r.Stderr+r.Stdout))
	}
	return r.Stdout
}
