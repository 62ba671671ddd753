package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/meshd/api"
)

// fakeMeshd has one network and keeps attachments as meshd does, with addresses of a pool of three.
type fakeMeshd struct {
	attachments []api.Attachment
	leases      []api.Lease
	calls       []string
	down        bool
	state       api.NetworkState
}

func (m *fakeMeshd) Networks(context.Context) ([]api.Network, error) {
	if m.down {
		return nil, api.ErrUnreachable
	}
	n := testNetwork()
	n.State = m.state
	return []api.Network{n}, nil
}

func (m *fakeMeshd) Attachments(context.Context, string) ([]api.Attachment, error) {
	return slices.Clone(m.attachments), nil
}

func (m *fakeMeshd) Leases(context.Context, string) ([]api.Lease, error) { return m.leases, nil }

func (m *fakeMeshd) Attach(_ context.Context, r api.AttachRequest) (api.Attachment, error) {
	m.calls = append(m.calls, change{attach: &r}.text())
	a := attached(r.Container, r.MAC, "fd00::2")
	for i, free := range []string{"10.77.0.2", "10.77.0.3", "10.77.0.4"} {
		taken := slices.ContainsFunc(m.attachments, func(o api.Attachment) bool { return strings.HasPrefix(o.Addresses[0].String(), free) })
		switch {
		case r.IPv4 == free && taken:
			return api.Attachment{}, api.Errorf(api.Conflict, "%s is held", free)
		case r.IPv4 == free, r.IPv4 == "" && !taken:
			a = attached(r.Container, r.MAC, free+" fd00::2")
		case i == 2 && r.IPv4 == "":
			return api.Attachment{}, api.Errorf(api.Unavailable, "no IPv4 address")
		default:
			continue
		}
		break
	}
	m.attachments = append(slices.DeleteFunc(m.attachments, func(o api.Attachment) bool {
		return nameOf(o) == nameOf(a) || r.Former != nil && nameOf(o) == *r.Former
	}), a)
	return a, nil
}

func (m *fakeMeshd) Detach(_ context.Context, r api.DetachRequest) (bool, error) {
	m.calls = append(m.calls, "-"+r.Container)
	m.attachments = slices.DeleteFunc(m.attachments, func(a api.Attachment) bool { return a.Container == r.Container })
	return true, nil
}

// TestReconcile is one scenario: each step says what has changed, what is called then, and what is logged.
func TestReconcile(t *testing.T) {
	m := &fakeMeshd{state: api.NetworkUp}
	var log bytes.Buffer
	r := newRunner(m, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mac := func(n byte) api.MAC { return api.MAC{2, 0, 0, 0, 0, n} }
	any, two := wish{}, wish{ipv4: "10.77.0.2"}
	elsewhere := []api.Lease{{Container: "m", IfName: "eth0", MAC: mac(9), Node: "b", Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.4")}}}
	steps := []struct {
		name   string
		after  time.Duration
		change func()
		nics   []nic
		calls  string
		says   string // in the log; "": nothing
		fails  bool
	}{
		{"an instance", 0, nil, []nic{testNIC("a", mac(1), any)}, "+a", "msg=attached network=prod container=a", false},
		{"nothing new", time.Second, nil, []nic{testNIC("a", mac(1), any)}, "", "", false},
		{"an address that another has: it gets another one, and a warning", time.Second, nil,
			[]nic{testNIC("a", mac(1), any), testNIC("b", mac(8), two)}, "+b 10.77.0.2,+b", `container=b ifname=eth0 err="10.77.0.2 is held"`, false},
		{"it is tried to change that", time.Second, nil, []nic{testNIC("a", mac(1), any), testNIC("b", mac(8), two)}, "+b 10.77.0.2 <b", "", false},
		{"not at once again, nor is it said again", time.Second, nil, []nic{testNIC("a", mac(1), any), testNIC("b", mac(8), two)}, "", "", false},
		{"when the other has gone", 10 * time.Second, nil, []nic{testNIC("b", mac(8), two)}, "-a,+b 10.77.0.2 <b", "released", false},
		{"moved from another host: it waits", time.Second, func() { m.leases = elsewhere },
			[]nic{testNIC("b", mac(8), two), testNIC("m", mac(9), any)}, "", "is attached on host b as m/eth0", false},
		{"until that has released it", time.Second, func() { m.leases = nil },
			[]nic{testNIC("b", mac(8), two), testNIC("m", mac(9), any)}, "+m 10.77.0.4", "10.77.0.4", false},
		{"the pool is used up: IPv6 goes on", time.Second, func() { m.attachments = append(m.attachments, attached("x", mac(7), "10.77.0.3", api.SourceCNI)) },
			[]nic{testNIC("b", mac(8), two), testNIC("m", mac(9), any), testNIC("n", mac(6), any)}, "+n,+n none", "no IPv4 address", false},
		{"the network does not run: nothing is done, nothing released", time.Second, func() { m.state = api.NetworkStarting }, nil, "", "", false},
		{"meshd is away", time.Second, func() { m.down = true }, nil, "", "", true},
		{"all have gone", time.Minute, func() { m.down, m.state = false, api.NetworkUp }, nil, "-b,-m,-n", "released", false},
	}
	for _, s := range steps {
		now = now.Add(s.after)
		if s.change != nil {
			s.change()
		}
		m.calls = nil
		log.Reset()
		err := r.reconcile(t.Context(), now, s.nics)
		if (err != nil) != s.fails {
			t.Errorf("%s: error = %v", s.name, err)
		}
		if got := strings.Join(m.calls, ","); got != s.calls {
			t.Errorf("%s: calls %q, want %q", s.name, got, s.calls)
		}
		if said := log.String(); !strings.Contains(said, s.says) || s.says == "" && said != "" {
			t.Errorf("%s: the log says %q, want %q", s.name, said, s.says)
		}
	}
}

// What goes on for long is logged once.
func TestFail(t *testing.T) {
	var log bytes.Buffer
	r := newRunner(nil, slog.New(slog.NewTextHandler(&log, nil)))
	for _, err := range []error{nil, errNoLXD, errNoLXD, api.ErrUnreachable, nil, nil} {
		r.fail(err)
	}
	if got := strings.Count(log.String(), "\n"); got != 3 || strings.Count(log.String(), "level=WARN") != 2 {
		t.Errorf("log:\n%s\nwant two warnings, and that it works again", &log)
	}
}
