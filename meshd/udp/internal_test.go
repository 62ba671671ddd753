package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FD gives tests the socket, which they do not use after Close.
func FD(c *Conn) int {
	fd, _ := c.out.Acquire()
	defer c.out.Release()
	return fd
}

// "A host whose kernel does not speak the address's family": the error is ErrNoFamily, whatever package net wraps it
// in.
func TestNoFamily(t *testing.T) {
	addr := netip.MustParseAddrPort("[::]:7000")
	cause := &net.OpError{Op: "listen", Net: "udp6", Err: os.NewSyscallError("socket", unix.EAFNOSUPPORT)}
	err := listenError(addr, cause)
	if !errors.Is(err, ErrNoFamily) || !errors.Is(err, unix.EAFNOSUPPORT) || !strings.Contains(err.Error(), "[::]:7000") {
		t.Errorf("listenError = %v, want ErrNoFamily that names the address", err)
	}
	if err := listenError(addr, unix.EADDRINUSE); errors.Is(err, ErrNoFamily) {
		t.Errorf("listenError(EADDRINUSE) = %v, which is not ErrNoFamily", err)
	}
}

// put and addrPort undo each other; an interface's name becomes its number.
func TestSockaddr(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in, out string // out: as read back; "" = in
		ok      bool
	}{
		{"192.0.2.1:7000", "", true},
		{"[::ffff:192.0.2.1]:7000", "192.0.2.1:7000", true},
		{"[2001:db8::1]:65535", "", true},
		{"[fe80::1%7]:1", "", true},
		{"[fe80::1%lo]:1", fmt.Sprintf("[fe80::1%%%d]:1", lo.Index), true},
		{"[fe80::1%no-such-if]:1", "", false},
		{"[fe80::1%99999999999]:1", "", false},
	}
	var indexes zoneIndexes
	var names zoneNames
	for _, tt := range tests {
		var s sockaddr
		_, ok := s.put(netip.MustParseAddrPort(tt.in), &indexes)
		if ok != tt.ok {
			t.Errorf("put(%s) = %v, want %v", tt.in, ok, tt.ok)
		}
		want := tt.out
		if want == "" {
			want = tt.in
		}
		if got := s.addrPort(&names); ok && got.String() != want {
			t.Errorf("addrPort after put(%s) = %v, want %s", tt.in, got, want)
		}
	}
}

// "ReadBatch does not allocate, but for the first datagram of a link-local zone", WriteBatch "but for the first
// datagram to a zone given by name".
func TestZonesDoNotAllocate(t *testing.T) {
	var s sockaddr
	var indexes zoneIndexes
	var names zoneNames
	for _, text := range []string{"[fe80::1%lo]:7000", "[fe80::1%123]:7000"} {
		addr := netip.MustParseAddrPort(text)
		allocs := testing.AllocsPerRun(100, func() {
			s.put(addr, &indexes)
			s.addrPort(&names)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", text, allocs)
		}
	}
}

// Each errno of sendmmsg has its counter.
func TestRefusedReasons(t *testing.T) {
	tests := []struct {
		errno       unix.Errno
		counter     string
		unreachable bool
	}{
		{unix.EHOSTUNREACH, "send_unreachable", true},
		{unix.ENETUNREACH, "send_unreachable", true},
		{unix.EADDRNOTAVAIL, "send_unreachable", true},
		{unix.ENODEV, "send_unreachable", true},
		{unix.EPERM, "send_denied", false},
		{unix.ECONNREFUSED, "send_refused", false},
		{unix.EMSGSIZE, "send_too_big", false},
		{unix.ENOBUFS, "send_no_buffer", false},
		{unix.EINVAL, "send_invalid", false},
	}
	for _, tt := range tests {
		var c Counters
		if got := c.refused(tt.errno, 3); got != tt.unreachable {
			t.Errorf("refused(%v) = %v, want %v", tt.errno, got, tt.unreachable)
		}
		if got := c.Snapshot()[tt.counter]; got != 3 {
			t.Errorf("refused(%v, 3): %s = %d, want 3", tt.errno, tt.counter, got)
		}
	}
}
