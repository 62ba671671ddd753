package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
)

// echo serves protocol "echo" on n until n is closed.
func echo(n *testNode) {
	l := n.Listen("echo")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // whatever fails, the other end sees
			}()
		}
	}()
}

// Two nodes talk over a stream; each knows who the other is.
func TestStreamEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newTestNetwork(t, 1)
		a, b := network.start("a", 1), network.start("b", 1)
		echo(b)
		conn, err := a.Dial(testContext(t, 5*time.Second), b.id, "echo") // makes the session, too
		if err != nil {
			t.Fatalf("Dial error = %v", err)
		}
		if conn.RemoteAddr().String() != b.id.String() || conn.LocalAddr().String() != a.id.String() {
			t.Errorf("addresses = %v, %v, want the node IDs", conn.LocalAddr(), conn.RemoteAddr())
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatalf("Write error = %v", err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
			t.Errorf("Read = %q, %v, want hello", got, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the deadline error = %v, want deadline exceeded", err)
		}
		go func() {
			time.Sleep(time.Second)
			conn.Close()
		}()
		_ = conn.SetReadDeadline(time.Time{})
		if _, err := conn.Read(got); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close error = %v, want closed", err)
		}
	})
}

// A megabyte survives 5 % loss.
func TestStreamUnderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newTestNetwork(t, 1)
		network.loss = 0.05
		a, b := network.start("a", 1), network.start("b", 1)
		echo(b)
		conn, err := a.Dial(testContext(t, 10*time.Second), b.id, "echo")
		if err != nil {
			t.Fatalf("Dial error = %v", err)
		}
		sent := make([]byte, 1<<20)
		rng := rand.NewChaCha8([32]byte{1})
		_, _ = rng.Read(sent) // never fails
		go func() {
			if _, err := conn.Write(sent); err != nil {
				t.Errorf("Write error = %v", err)
			}
		}()
		began := time.Now()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatalf("Read error = %v", err)
		}
		if !bytes.Equal(got, sent) {
			t.Error("what came back is not what was sent")
		}
		t.Logf("1 MB there and back took %v", time.Since(began))
		conn.Close()
	})
}

// A protocol that nobody speaks is refused at the first Read.
func TestUnknownProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newTestNetwork(t, 1)
		a, b := network.start("a", 1), network.start("b", 1)
		conn, err := a.Dial(testContext(t, 5*time.Second), b.id, "nonsense")
		if err != nil {
			t.Fatalf("Dial error = %v", err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, ErrProtocol) {
			t.Errorf("Read error = %v, want ErrProtocol", err)
		}
		conn.Close()
	})
}

// Dialing somebody who cannot be reached ends with the context.
func TestDialUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newTestNetwork(t, 1)
		a := network.start("a", 1)
		began := time.Now()
		_, err := a.Dial(testContext(t, 2*time.Second), testID("nobody"), "echo")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("Dial error = %v after %v, want deadline exceeded after 2s", err, time.Since(began))
		}
	})
}

// A peer that restarts is reached again at once: its old connection does not hold up the new.
func TestStreamAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newTestNetwork(t, 1)
		a, b := network.start("a", 1), network.start("b", 1)
		echo(b)
		conn, err := a.Dial(testContext(t, 5*time.Second), b.id, "echo")
		if err != nil {
			t.Fatalf("Dial error = %v", err)
		}
		// A crash: nobody is told.
		network.setDrop(func(from, _ *testNode, _ wire.Type) bool { return from == b })
		network.stop(b)
		network.setDrop(nil)
		b = network.start("b", 2)
		echo(b)
		network.connect(b, a.id)
		time.Sleep(time.Second)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the stream to the old instance still reads")
		}
		began := time.Now()
		conn, err = a.Dial(testContext(t, 5*time.Second), b.id, "echo")
		if err != nil {
			t.Fatalf("Dial after restart error = %v", err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil || time.Since(began) > time.Second {
			t.Errorf("echo after restart error = %v after %v, want it at once", err, time.Since(began))
		}
		conn.Close()
	})
}
