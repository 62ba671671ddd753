package udp

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/wire"
)

// A kernel answers the first calls of sendmmsg as it is told, and then really sends.
type kernel struct {
	answers []answer
	bursts  []bool // each message that the calls began with: whether it was a burst
}

type answer struct {
	n     int // messages to send, if errno is 0
	errno unix.Errno
	gso   bool // answer so to whatever begins with a burst, again and again
}

func (k *kernel) sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	burst := msgs[0].hdr.Controllen > 0
	k.bursts = append(k.bursts, burst)
	if len(k.answers) == 0 {
		return sendmmsg(fd, msgs)
	}
	a := k.answers[0]
	if a.gso && !burst {
		return sendmmsg(fd, msgs)
	}
	if !a.gso {
		k.answers = k.answers[1:]
	}
	if a.errno != 0 {
		return 0, a.errno
	}
	return sendmmsg(fd, msgs[:a.n])
}

// pair returns a socket that sends by k, with what it logs, and one that receives.
func pair(t *testing.T, k *kernel) (a, b *Conn, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	var conns [2]*Conn
	for i := range conns {
		c, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c
	}
	for i := range conns[0].writers {
		conns[0].writers[i].sendmmsg = k.sendmmsg
	}
	return conns[0], conns[1], log
}

// three returns three messages: a burst of 10, one of 20, and a single datagram, each datagram with its number.
func three(to *Conn) []wire.Datagram {
	var ds []wire.Datagram
	for _, run := range []struct{ count, length int }{{10, 300}, {20, 400}, {1, 500}} {
		for range run.count {
			buf := bytes.Repeat([]byte{byte(len(ds))}, run.length)
			ds = append(ds, wire.Datagram{Buf: buf, Endpoint: wire.Endpoint{Addr: to.LocalAddr()}})
		}
	}
	return ds
}

// "The kernel stops at the first one that fails, and reports the failure only if it is the first of a call: so after a short count
// the same message is tried once more, and skipped when it is alone to blame."
func TestWhatTheKernelAnswers(t *testing.T) {
	const none = "" // no counter
	tests := []struct {
		name    string
		answers []answer
		lost    int // of the 31 datagrams, from the first on
		counter string
	}{
		{"all", nil, 0, none},
		{"short counts", []answer{{n: 1}, {n: 1}}, 0, none},
		{"interrupted", []answer{{errno: unix.EINTR}, {n: 2}, {errno: unix.EINTR}}, 0, none},
		{"buffer full", []answer{{errno: unix.EAGAIN}, {n: 1}, {errno: unix.EAGAIN}}, 0, none},
		{"no route for the first message", []answer{{errno: unix.ENETUNREACH}}, 10, "send_unreachable"},
		{"a firewall for two", []answer{{errno: unix.EPERM}, {errno: unix.EPERM}}, 30, "send_denied"},
		{"no memory for all", []answer{{errno: unix.ENOBUFS}, {errno: unix.ENOBUFS}, {errno: unix.ENOBUFS}}, 31, "send_no_buffer"},
		{"a burst that has to be fragmented", []answer{{errno: unix.EINVAL}}, 0, none},
		{"the same in newer kernels", []answer{{errno: unix.EMSGSIZE}, {errno: unix.EMSGSIZE}}, 0, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, _ := pair(t, &kernel{answers: tt.answers})
			ds := three(b)
			if n, err := a.WriteBatch(ds); n != len(ds)-tt.lost || err != nil {
				t.Errorf("WriteBatch = %d, %v, want %d, <nil>", n, err, len(ds)-tt.lost)
			}
			wantRead(t, b, ds[tt.lost:])
			for name, n := range a.Counters().Snapshot() {
				want := 0
				switch name {
				case "sent":
					want = len(ds) - tt.lost
				case tt.counter:
					want = tt.lost
				}
				if n != uint64(want) {
					t.Errorf("counter %s = %d, want %d", name, n, want)
				}
			}
		})
	}
}

// wantRead fails the test unless exactly want comes, in that order.
func wantRead(t *testing.T, c *Conn, want []wire.Datagram) {
	t.Helper()
	ds := make([]wire.Datagram, 64)
	for len(want) > 0 {
		n, err := c.ReadBatch(ds, 10*time.Second)
		if err != nil || n == 0 || n > len(want) {
			t.Fatalf("ReadBatch = %d, %v, want up to %d", n, err, len(want))
		}
		for i, d := range ds[:n] {
			if !bytes.Equal(d.Buf, want[i].Buf) {
				t.Fatalf("read %.4x… of %d bytes, want %.4x… of %d", d.Buf, len(d.Buf), want[i].Buf, len(want[i].Buf))
			}
		}
		want = want[n:]
	}
	if n, err := c.ReadBatch(ds, 0); n != 0 || err != nil {
		t.Errorf("ReadBatch = %d, %v when all have come", n, err)
	}
}

// "The error says that the socket itself failed": the rest is not tried, and the count says what was sent.
func TestSocketThatFails(t *testing.T) {
	a, b, _ := pair(t, &kernel{answers: []answer{{n: 1}, {errno: unix.EBADF}}})
	ds := three(b)
	if n, err := a.WriteBatch(ds); n != 10 || !errors.Is(err, unix.EBADF) {
		t.Errorf("WriteBatch = %d, %v, want 10, EBADF", n, err)
	}
	wantRead(t, b, ds[:10])
	if sent := a.Counters().Sent.Load(); sent != 10 {
		t.Errorf("sent = %d, want 10", sent)
	}
}

// "A burst is sent once more, one by one, if a device cannot cut it (EIO)." The following ones are sent one by one from the
// beginning, Offloads says why, and the log is told once.
func TestDeviceThatCannotCut(t *testing.T) {
	k := &kernel{answers: []answer{{errno: unix.EIO, gso: true}}}
	a, b, log := pair(t, k)
	for range 2 {
		ds := three(b)
		if n, err := a.WriteBatch(ds); n != len(ds) || err != nil {
			t.Fatalf("WriteBatch = %d, %v, want %d, <nil>", n, err, len(ds))
		}
		wantRead(t, b, ds)
	}
	if want := []bool{true, true, false, false}; !slices.Equal(k.bursts, want) {
		t.Errorf("calls that began with a burst: %v, want %v", k.bursts, want)
	}
	if o := a.Offloads()[0]; o.On || !strings.Contains(o.Why, "EIO") {
		t.Errorf("after the failure: %+v, want it off, and why", o)
	}
	const says = `level=WARN msg="UDP segmentation offload failed, sending datagrams one by one" endpoint=`
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), says+b.LocalAddr().String()) {
		t.Errorf("logged %q, want one line that says %q", log, says)
	}
}
