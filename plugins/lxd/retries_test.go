package main

import (
	"testing"
	"time"

	"meshnet/meshd/api"
)

// "What failed is tried again", ever more seldom; another request for the same interface is made at once; what nobody wants is forgotten.
func TestRetries(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := make(retries)
	nine := api.AttachRequest{Network: "prod", Container: "web", IfName: "eth0", AttachOptions: api.AttachOptions{IPv4: "10.77.0.9", Former: &api.AttachmentName{Container: "web", IfName: "eth0"}}}
	same := nine
	same.Former = &api.AttachmentName{Container: "web", IfName: "eth0"} // by another pointer
	ten := nine
	ten.IPv4 = "10.77.0.10"
	failed := []problem{{name: requestName(nine), text: "it is held by db/eth0"}}
	for _, wait := range []time.Duration{2, 4, 8, 16, 32, 64, 120, 120} {
		wait *= time.Second
		if _, waits := r.waits(now, same); waits {
			t.Fatalf("%v: it waits, though nothing failed since it was due", now)
		}
		r.note(now, nine, failed)
		if got := r.next(now); got != wait {
			t.Errorf("next = %v, want %v", got, wait)
		}
		now = now.Add(wait - 1)
		if problems, waits := r.waits(now, same); !waits || len(problems) != 1 {
			t.Errorf("a moment before %v: waits = %v, %v; want what was wrong", wait, waits, problems)
		}
		if _, waits := r.waits(now, ten); waits {
			t.Errorf("another request waits")
		}
		now = now.Add(1)
	}
	if got := r.next(now); got != retryLast || len(r) != 0 {
		t.Errorf("next = %v with %d requests kept, want none: nobody tried what was due", got, len(r))
	}
	r.note(now, nine, failed)
	r.note(now, nine, nil)
	if len(r) != 0 {
		t.Errorf("%d requests are kept after success", len(r))
	}
}
