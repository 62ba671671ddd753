package control

import (
	"testing"
	"time"

	"meshnet/meshd/session"
)

// A peer is greeted twice after each meeting, whatever was planned before it.
func TestGreetings(t *testing.T) {
	start := time.Unix(1000, 0)
	id := session.NodeID{1}
	g := newGreetings()
	if !g.next().IsZero() {
		t.Errorf("next() = %v without a meeting, want none", g.next())
	}
	g.met(start, id)
	g.met(start.Add(time.Second), id) // new keys: it begins again
	start = start.Add(time.Second)
	for _, tt := range []struct {
		at   time.Duration
		want int
	}{
		{greetAfter[0] - 1, 0}, {greetAfter[0], 1}, {greetAfter[0], 0}, {greetAfter[1] - 1, 0}, {greetAfter[1], 1}, {time.Hour, 0},
	} {
		if got := g.take(start.Add(tt.at)); len(got) != tt.want {
			t.Errorf("take(%v after the meeting) = %v, want %d peers", tt.at, got, tt.want)
		}
	}
	if !g.next().IsZero() {
		t.Errorf("next() = %v after both greetings, want none", g.next())
	}
}
