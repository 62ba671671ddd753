package netsim_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
	"meshnet/test/netsim"
)

// "What is longer is lost without a word, but for datagrams over IPv4 that Probe has not sent."
func TestMTU(t *testing.T) {
	const v4, v6 = 1500 - 28, 1500 - 48
	for _, test := range []struct {
		name   string
		v6     bool
		length int
		probe  bool
		passes bool
	}{
		{"IPv4, as long as may be", false, v4, false, true},
		{"IPv4, longer", false, v4 + 1, false, true},
		{"IPv4, probe", false, v4, true, true},
		{"IPv4, longer probe", false, v4 + 1, true, false},
		{"IPv6, as long as may be", true, v6, false, true},
		{"IPv6, longer", true, v6 + 1, false, false},
		{"IPv6, probe", true, v6, true, true},
		{"IPv6, longer probe", true, v6 + 1, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := netsim.New(1)
			a, b := n.Host("192.0.2.1:7000", "[2001:db8::1]:7000"), n.Host("192.0.2.2:7000", "[2001:db8::2]:7000")
			for i, set := range []func(){func() { n.SetMTU(1500) }, func() { n.SetMTU(0) },
				func() {
					n.SetLinkMTU(a.Addrs()[0], b.Addrs()[0], 1500)
					n.SetLinkMTU(a.Addrs()[1], b.Addrs()[1], 1500)
				}} {
				set()
				d := wire.Datagram{Buf: make([]byte, test.length), Endpoint: wire.Endpoint{Addr: b.Addrs()[0]}}
				if test.v6 {
					d.Endpoint.Addr = b.Addrs()[1]
				}
				before := n.Stats()
				if test.probe {
					if err := a.Probe(d); err != nil {
						t.Errorf("%s: Probe() = %v", test.name, err)
					}
				} else {
					a.WriteBatch([]wire.Datagram{d})
				}
				time.Sleep(time.Second)
				st := n.Stats()
				if passes := st.Delivered > before.Delivered; passes != (test.passes || i == 1) || passes == (st.Oversized > before.Oversized) {
					t.Errorf("%s: %+v", test.name, st)
				}
			}
		})
	}
}

// "Probe refuses what is longer" than the host's own device takes.
func TestDeviceMTU(t *testing.T) {
	n := netsim.New(1)
	a, b := n.Host("192.0.2.1:7000"), n.Host("192.0.2.2:7000")
	a.SetMTU(1500)
	to := wire.Endpoint{Addr: b.LocalAddr()}
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1472), Endpoint: to}); err != nil {
		t.Errorf("Probe(1472 bytes) = %v", err)
	}
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1473), Endpoint: to}); !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("Probe(1473 bytes) = %v, want ErrTooLong", err)
	}
	a.Close()
	if err := a.Probe(wire.Datagram{Buf: make([]byte, 1472), Endpoint: to}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Probe after Close = %v, want net.ErrClosed", err)
	}
}
