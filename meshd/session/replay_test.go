package session

import (
	"math/rand/v2"
	"testing"
)

// "Counters up to 8,191 behind the newest are accepted once."
func TestReplayWindow(t *testing.T) {
	const limit = windowBits
	var w replayWindow
	for _, test := range []struct {
		counter uint64
		want    bool
	}{
		{0, true}, {0, false}, {1, true}, {1, false}, {9, true}, {8, true}, {7, true}, {7, false},
		{limit, true}, {limit - 1, true}, {limit - 1, false}, {limit - 2, true}, {2, true}, {2, false},
		{limit + 16, true}, {3, false}, {16, false}, {17, true}, {17, false}, {limit + 16, false},
		{limit * 4, true}, {limit*4 - (limit - 1), true}, {10, false}, {limit*4 - limit, false},
		{limit*4 - (limit + 1), false}, {limit*4 - (limit - 2), true}, {limit*4 + 1 - limit, false}, {0, false},
		{RejectAfterMessages - 1, true}, {RejectAfterMessages - 1, false}, {RejectAfterMessages - 2, true},
		{RejectAfterMessages - limit, true}, {RejectAfterMessages - limit - 1, false},
	} {
		if got := w.accept(test.counter); got != test.want {
			t.Errorf("accept(%#x) = %v, want %v", test.counter, got, test.want)
		}
	}
}

// The window does what a set does that remembers everything.
func TestReplayWindowModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var w replayWindow
		seen, newest := make(map[uint64]bool), uint64(0)
		for i := range 50_000 {
			counter := uint64(rng.IntN(1 << (rng.IntN(16) + 1)))
			if rng.IntN(2) == 0 {
				counter = newest + counter%200
			} else if counter <= newest {
				counter = newest - counter
			}
			want := !seen[counter] && (counter > newest || newest-counter < windowBits)
			if got := w.accept(counter); got != want {
				t.Fatalf("seed %d, step %d: accept(%d) = %v, want %v; newest %d", seed, i, counter, got, want, newest)
			}
			if want {
				seen[counter], newest = true, max(newest, counter)
			}
		}
	}
}
