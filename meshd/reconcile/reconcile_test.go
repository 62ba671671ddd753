package reconcile

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam"
)

// host is a host in memory: leases, and what of them is seen.
type host struct {
	mu       sync.Mutex
	leases   []ipam.Lease
	state    map[ipam.Attachment]State
	blind    error             // what Observe answers
	stuck    error             // what Release answers
	released []ipam.Attachment // in order, tries that failed included
	during   func()            // called by Observe before it answers; nil: nothing
}

func newHost(as ...ipam.Attachment) *host {
	h := &host{state: make(map[ipam.Attachment]State)}
	for _, a := range as {
		h.leases = append(h.leases, lease(a))
		h.state[a] = Present
	}
	return h
}

func (h *host) set(a ipam.Attachment, s State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state[a] = s
}

func (h *host) Leases() []ipam.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.leases)
}

func (h *host) Observe(_ context.Context, leases []ipam.Lease) ([]Observation, error) {
	h.mu.Lock()
	var list []Observation
	for _, l := range leases {
		list = append(list, Observation{l, h.state[l.Attachment], "it is " + h.state[l.Attachment].String()})
	}
	err, during := h.blind, h.during
	h.mu.Unlock()
	if during != nil {
		during()
	}
	return list, err
}

func (h *host) Release(_ context.Context, l ipam.Lease) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = append(h.released, l.Attachment)
	if h.stuck != nil {
		return h.stuck
	}
	h.leases = slices.DeleteFunc(h.leases, func(x ipam.Lease) bool { return x == l })
	return nil
}

func (h *host) tries() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.released)
}

// run starts a Reconciler until the test ends.
func run(t *testing.T, h *host, c Config) *Reconciler {
	t.Helper()
	c.Leases, c.Release, c.Observer = h.Leases, h.Release, h
	r := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return r
}

// pass lets time pass, and waits until everybody waits again.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHost(web, db)
		h.set(web, Gone)
		r := run(t, h, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		pass(time.Second)
		missing := r.Missing()
		if len(missing) != 1 || missing[0].Lease != lease(web) || missing[0].Free.Sub(missing[0].Since) != DefaultGrace || missing[0].Why != "it is gone" {
			t.Errorf("Missing = %+v, want web", missing)
		}
		if pass(4 * time.Minute); h.tries() != 0 {
			t.Error("web is released before the grace has passed")
		}
		if pass(time.Minute); !slices.Equal(h.released, []ipam.Attachment{web}) {
			t.Errorf("released %v after the grace, want web", h.released)
		}
		if pass(time.Hour); h.tries() != 1 || len(r.Missing()) != 0 {
			t.Errorf("released %v, missing %v an hour later, want nothing more", h.released, r.Missing())
		}
		if text := log.String(); !strings.Contains(text, `container=web ifname=eth0`) || !strings.Contains(text, `why="it is gone"`) {
			t.Errorf("the log says\n%s", text)
		}
	})
}

// "An observer that fails says nothing, and nothing is freed."
func TestRunBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHost(web)
		h.set(web, Gone)
		h.blind = errors.New("no netlink")
		run(t, h, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if pass(time.Hour); h.tries() != 0 {
			t.Errorf("released %v by an observer that fails", h.released)
		}
		if n := strings.Count(log.String(), "no netlink"); n != 1 {
			t.Errorf("%d warnings in an hour of failures, want 1:\n%s", n, log.String())
		}
	})
}

func TestRunReleaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(web)
		h.set(web, Gone)
		h.stuck = errors.New("disk full")
		r := run(t, h, Config{})
		if pass(DefaultGrace + time.Second); h.tries() != 1 || len(r.Missing()) != 1 {
			t.Errorf("%d tries, missing %v, want web, tried once", h.tries(), r.Missing())
		}
		h.mu.Lock()
		h.stuck = nil
		h.mu.Unlock()
		if pass(time.Minute); h.tries() != 2 || len(h.Leases()) != 0 {
			t.Errorf("%d tries, leases %v a minute later, want a second try that works", h.tries(), h.Leases())
		}
	})
}

// "Attaching again takes back whatever was found before it", even while the observation that would free it is made.
func TestAttachedWhileObserving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(web)
		h.set(web, Gone)
		r := run(t, h, Config{})
		pass(DefaultGrace - time.Second)
		h.mu.Lock()
		h.during = func() { r.Attached(web) }
		h.mu.Unlock()
		pass(2 * time.Second)
		h.mu.Lock()
		h.during, h.state[web] = nil, Present
		h.mu.Unlock()
		if pass(time.Hour); h.tries() != 0 {
			t.Errorf("released %v, which was attached again", h.released)
		}
	})
}

// A caller of Attached that comes while the lease is being released waits for the end of it.
func TestAttachedWhileReleasing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(web)
		h.set(web, Gone)
		var r *Reconciler
		attached := make(chan int, 1)
		r = New(Config{Leases: h.Leases, Observer: h, Release: func(ctx context.Context, l ipam.Lease) error {
			go func() {
				r.Attached(web)
				attached <- len(h.Leases())
			}()
			for range 100 { // the caller has every opportunity
				runtime.Gosched()
			}
			return h.Release(ctx, l)
		}})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		if leases := <-attached; leases != 0 {
			t.Errorf("%d leases when Attached returns, want none", leases)
		}
	})
}

// "The leases there are when meshd first starts after a boot are those of containers that are no more."
func TestBoots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boot")
	starts := []struct {
		name, boot string
		freed      bool
	}{
		{"the first start ever", "one", false},
		{"a restart", "one", false},
		{"a boot", "two", true},
		{"a restart in that boot", "two", false},
		{"the boot is unknown", "", false},
	}
	for _, s := range starts {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(web, db)
			h.set(web, Unsure)
			run(t, h, Config{BootID: s.boot, BootFile: file})
			pass(time.Hour)
			if freed := h.tries() == 1; freed != s.freed || len(h.released) > 1 {
				t.Errorf("%s: released %v, want web: %v", s.name, h.released, s.freed)
			}
		})
	}
}

// A boot that cannot be noted is none: a later start would take what runs then for what ran before it.
func TestBootFileErrors(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "boot")} {
		if rebooted, err := noteBoot(path, "two"); rebooted || err == nil {
			t.Errorf("noteBoot(%s) = %v, %v, want an error", path, rebooted, err)
		}
	}
	file := filepath.Join(dir, "boot")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rebooted, err := noteBoot(file, "two"); rebooted || err != nil {
		t.Errorf("noteBoot of an empty file = %v, %v, want no reboot", rebooted, err)
	}
	if list, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(list) != 1 {
		t.Errorf("the directory has %v, want boot alone", list)
	}
}

func TestBootID(t *testing.T) {
	a, err := BootID()
	if err != nil || len(a) != 36 {
		t.Errorf("BootID = %q, %v, want 36 characters", a, err)
	}
}
