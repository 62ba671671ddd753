package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Etcd is one member of an etcd cluster, on a host of its own.
type Etcd struct {
	*Process
	Host     *Host
	Endpoint string // HOST:PORT for clients
	args     []string
}

// StartEtcd makes a cluster of Debian's etcd-server, one member on each of the hosts, and waits until it answers.
func (l *Lab) StartEtcd(hosts ...*Host) []*Etcd {
	l.tb.Helper()
	url := func(h *Host, port uint16) string { return "http://" + netip.AddrPortFrom(h.IPv4, port).String() }
	var initial []string
	for _, h := range hosts {
		initial = append(initial, h.Name+"="+url(h, 2380))
	}
	var members []*Etcd
	for _, h := range hosts {
		m := &Etcd{Host: h, Endpoint: netip.AddrPortFrom(h.IPv4, 2379).String(), args: []string{
			"etcd", "--name", h.Name, "--data-dir", "/var/lib/etcd", "--logger", "zap", "--initial-cluster", strings.Join(initial, ","),
			"--listen-client-urls", url(h, 2379), "--advertise-client-urls", url(h, 2379),
			"--listen-peer-urls", url(h, 2380), "--initial-advertise-peer-urls", url(h, 2380),
		}}
		m.Restart()
		members = append(members, m)
	}
	for _, m := range members {
		l.Until(30*time.Second, "etcd answers on "+m.Endpoint, m.answers, m.Err.String)
	}
	return members
}

// Restart starts the member, which does not run, on the data that it has.
func (m *Etcd) Restart() {
	m.Host.lab.tb.Helper()
	m.Process = m.Host.Start(m.args...)
}

// answers says whether the member knows a leader.
func (m *Etcd) answers() bool {
	r := m.Host.Try("busybox", "wget", "-q", "-O", "-", fmt.Sprintf("http://%s/health", m.Endpoint))
	return r.Code == 0 && strings.Contains(r.Stdout, `"true"`)
}
