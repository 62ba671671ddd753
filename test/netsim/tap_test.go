package netsim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/offload"
	"meshnet/test/netsim"
)

// packet returns frame behind an offload header that says nothing.
func packet(frame string) []byte { return append(make([]byte, offload.HeaderLen), frame...) }

// What is injected is read, in order and at most a batch at a time, with room behind it.
func TestTAPRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		frame := []byte("one")
		if !tap.Inject(frame) {
			t.Error("Inject(one) = false, want true")
		}
		clear(frame) // Inject copies
		tap.Inject([]byte("two"))
		tap.InjectPacket(packet("three"))
		for _, want := range [][]string{{"one", "two"}, {"three"}} {
			packets := make([][]byte, 2)
			n, err := tap.ReadBatch(packets)
			if n != len(want) || err != nil {
				t.Fatalf("ReadBatch = %d, %v, want %d", n, err, len(want))
			}
			for i, p := range packets[:n] {
				if string(p) != string(packet(want[i])) || cap(p)-len(p) < offload.TailLen {
					t.Errorf("packet %d = %q with room for %d bytes, want %q", i, p, cap(p)-len(p), want[i])
				}
			}
		}
	})
}

// What is written comes out of Frames and Next.
func TestTAPWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		frame := packet("one")
		if n, err := tap.WriteBatch([][]byte{frame, packet("two")}); n != 2 || err != nil {
			t.Errorf("WriteBatch = %d, %v, want 2, <nil>", n, err)
		}
		clear(frame) // WriteBatch keeps no frame
		if got := fmt.Sprintf("%s", tap.Frames()); got != "[one two]" {
			t.Errorf("Frames() = %s, want [one two]", got)
		}
		if got := tap.Frames(); got != nil {
			t.Errorf("Frames() again = %q, want none", got)
		}
		go func() {
			time.Sleep(time.Second)
			tap.WriteBatch([][]byte{packet("three")})
		}()
		if got, err := tap.Next(t.Context()); string(got) != "three" || err != nil {
			t.Errorf("Next = %q, %v, want three", got, err)
		}
	})
}

func TestTAPNextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tap.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next error = %v, want context.DeadlineExceeded", err)
		}
		tap.WriteBatch([][]byte{packet("last")})
		tap.Close()
		if got, err := tap.Next(t.Context()); string(got) != "last" || err != nil {
			t.Errorf("Next after Close = %q, %v, want the last frame", got, err)
		}
		if _, err := tap.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Next error = %v, want net.ErrClosed", err)
		}
	})
}

func TestTAPCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		result := make(chan error)
		go func() {
			_, err := tap.ReadBatch(make([][]byte, 1))
			result <- err
		}()
		synctest.Wait()
		tap.Close()
		tap.Close()
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch error = %v, want net.ErrClosed", err)
		}
		if _, err := tap.WriteBatch([][]byte{packet("x")}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch error = %v, want net.ErrClosed", err)
		}
		if tap.Inject([]byte{1}) {
			t.Error("Inject after Close = true, want false")
		}
	})
}

// "Frames beyond are lost."
func TestTAPQueuesAreBounded(t *testing.T) {
	tap := netsim.NewTAP()
	frames := make([][]byte, 1030)
	injected := 0
	for range frames {
		if tap.Inject([]byte{1}) {
			injected++
		}
	}
	for i := range frames {
		frames[i] = packet("x")
	}
	written, err := tap.WriteBatch(frames)
	if injected != 1024 || written != 1024 || err != nil {
		t.Errorf("injected %d, written %d, %v, want 1024 of each", injected, written, err)
	}
}
