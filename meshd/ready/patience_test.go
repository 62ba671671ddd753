package ready

import (
	"testing"
	"time"
)

// wants is what a reader that waits every so often is allowed, if nothing ever comes while it looks.
func wants(p *patience, now time.Time, every time.Duration, times int) (looked int, spent time.Duration) {
	for range times {
		now = now.Add(every)
		if d := p.limit(now); d > 0 {
			looked++
			spent += d
			p.spent(d)
		}
	}
	return looked, spent
}

// "What is spent in vain comes out of a budget that fills with time": at most one part in share of it, but for what is saved up.
func TestLookingInVainIsBounded(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	for _, every := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		p := newPatience(began, 2)
		const times = 100_000
		looked, spent := wants(&p, began, every, times)
		if limit := every*times/share + hoard; spent > limit {
			t.Errorf("every %v: %v spent in vain, want at most %v", every, spent, limit)
		}
		if every >= share*look && looked < times-10 { // it takes some to see that they are frequent
			t.Errorf("every %v: looked %d times of %d, want nearly each time", every, looked, times)
		}
		if every < share*look && looked == 0 {
			t.Errorf("every %v: never looked", every)
		}
	}
}

// "A reader that something often comes for never stops looking": what is not in vain costs nothing.
func TestLookingThatIsOfUseIsFree(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPatience(now, 2)
	for range 20 {
		now = now.Add(share * look)
		p.limit(now)
	}
	for i := range 100_000 {
		now = now.Add(time.Microsecond)
		if d := p.limit(now); d != look {
			t.Fatalf("wait %d: limit = %v, want %v", i, d, look)
		}
	}
}

// What an idle time saves up is bounded, and so is one look, however long its reader was not run.
func TestHoardIsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPatience(now, 2)
	now = now.Add(24 * time.Hour)
	looked, _ := wants(&p, now, 0, 1000)
	if want := int(hoard / look); looked == 0 || looked > want {
		t.Errorf("after a day looked %d times in a row, want some, and %d at most", looked, want)
	}
	p = newPatience(now, 2)
	p.spent(time.Second) // the processor was somebody else's
	if looked, _ := wants(&p, now, time.Millisecond, 1000); looked != 0 {
		t.Errorf("looked %d times within a second of a look that took one, want 0", looked)
	}
}

// "One that something seldom comes for does not look at all": what hosts say to each other now and then, some of it in one go, is not looked for. What comes
// often is, after some of it.
func TestIdleReaderDoesNotLook(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPatience(now, 2)
	looked := 0
	for range 1000 {
		for _, pause := range []time.Duration{100 * time.Millisecond, time.Millisecond, time.Millisecond} {
			now = now.Add(pause)
			if p.limit(now) > 0 {
				looked++
			}
		}
	}
	if looked != 0 {
		t.Errorf("looked %d times for what comes three times in a tenth of a second, want 0", looked)
	}
	now = now.Add(time.Hour)
	if looked, _ := wants(&p, now, 5*time.Millisecond, 100); looked < 60 {
		t.Errorf("looked %d times of 100 for what comes every 5 ms, want most", looked)
	}
}

// With one processor nothing comes while a reader looks.
func TestOneProcessorNeverLooks(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPatience(now, 1)
	if looked, _ := wants(&p, now, time.Millisecond, 1000); looked != 0 {
		t.Errorf("looked %d times, want 0", looked)
	}
}
