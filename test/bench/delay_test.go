package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDelayLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDelayLine(20 * time.Millisecond)
		began := time.Now()
		l.put([]byte("one"), began)
		l.put([]byte("two"), began.Add(5*time.Millisecond))
		l.put(make([]byte, queueLimit), began) // does not fit
		frames, ok := l.take()
		if !ok || len(frames) != 2 || string(frames[0].frame) != "one" || string(frames[1].frame) != "two" {
			t.Fatalf("take = %v, %v; want one and two", frames, ok)
		}
		for i, want := range []time.Duration{20 * time.Millisecond, 25 * time.Millisecond} {
			if got := frames[i].due.Sub(began); got != want {
				t.Errorf("frame %d is due after %v, want %v", i, got, want)
			}
		}
		done := make(chan bool)
		go func() { _, ok := l.take(); done <- ok }()
		synctest.Wait()
		l.end()
		if <-done {
			t.Error("take goes on after the end")
		}
	})
}
