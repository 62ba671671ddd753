package control

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/session"
)

// "A peer's digests can name any number of nodes": what they make us fetch is bounded.
func TestFetchesAreBounded(t *testing.T) {
	f := newFetches()
	now := time.Unix(1000, 0)
	for i := range uint64(3 * maxFetches) {
		var owner session.NodeID
		binary.BigEndian.PutUint64(owner[:], i)
		f.held(now, neighbour.Mark{Owner: owner, Epoch: 1, Version: 1}, session.NodeID{1})
	}
	if n := len(f.pending); n != maxFetches {
		t.Errorf("%d fetches are planned, want %d", n, maxFetches)
	}
}

// "Believing it would keep out the real node's coming instances for ever."
func TestNothingIsBelievedFromTheFuture(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		name     string
		instance uint64
		future   bool
	}{
		{"started a minute ago", uint64(now.Add(-time.Minute).UnixNano()), false},
		{"its clock is a little ahead", uint64(now.Add(maxClockSkew).UnixNano()), false},
		{"its clock is too far ahead", uint64(now.Add(maxClockSkew + 1).UnixNano()), true},
		{"never", math.MaxUint64, true},
	} {
		if got := fromTheFuture(now, tt.instance); got != tt.future {
			t.Errorf("%s: fromTheFuture(%d) = %v, want %v", tt.name, tt.instance, got, tt.future)
		}
	}
}
