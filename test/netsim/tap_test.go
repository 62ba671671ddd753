package netsim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/test/netsim"
)

// What is injected is read, in order and at most a batch at a time; buffers are filled up to their capacity.
func TestTAPRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		frame := []byte("one")
		if !tap.Inject(frame) {
			t.Error("Inject(one) = false, want true")
		}
		clear(frame) // Inject copies
		tap.Inject([]byte("two"))
		tap.Inject([]byte("too long"))
		for _, want := range []string{"[one two]", "[too l]"} {
			frames := [][]byte{make([]byte, 0, 5), make([]byte, 5)}
			n, err := tap.ReadBatch(frames)
			if got := fmt.Sprintf("%s", frames[:n]); got != want || err != nil {
				t.Errorf("ReadBatch = %s, %v, want %s", got, err, want)
			}
		}
	})
}

// What is written comes out of Frames and Next.
func TestTAPWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := netsim.NewTAP()
		frame := []byte("one")
		if n, err := tap.WriteBatch([][]byte{frame, []byte("two")}); n != 2 || err != nil {
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
			tap.WriteBatch([][]byte{[]byte("three")})
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
		tap.WriteBatch([][]byte{[]byte("last")})
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
			_, err := tap.ReadBatch([][]byte{make([]byte, 8)})
			result <- err
		}()
		synctest.Wait()
		tap.Close()
		tap.Close()
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch error = %v, want net.ErrClosed", err)
		}
		if _, err := tap.WriteBatch([][]byte{{1}}); !errors.Is(err, net.ErrClosed) {
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
	written, err := tap.WriteBatch(frames)
	if injected != 1024 || written != 1024 || err != nil {
		t.Errorf("injected %d, written %d, %v, want 1024 of each", injected, written, err)
	}
}
