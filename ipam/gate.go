package ipam

import (
	"fmt"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

const (
	defaultCooldown = time.Minute
	backStep        = time.Minute // by which a clock may go back across a restart without a doubt about how long that took
)

// v4gate decides whether this node may lease IPv4 addresses now.
type v4gate struct {
	cooldown time.Duration
	boot     string
	clock    clock
	changing *batch // the change of what this node owns that is on its way to the disk; no address is chosen meanwhile
	// sure is whether the journal is known to be what this node wrote last: this start of the kernel wrote it, so that it cannot
	// be from a snapshot of the disk, or the block store has confirmed it.
	sure      bool
	contacted time.Time // when the last Refresh of this process that was answered was sent
	barred    error     // why nothing is leased before the next one
}

func newGate(c *Config, h *holdings) v4gate {
	g := v4gate{cooldown: c.Cooldown, boot: c.Boot, sure: h.contact != 0 && h.boot == c.Boot}
	if g.cooldown == 0 {
		g.cooldown = defaultCooldown
	}
	return g
}

// clock makes of the times it is handed one that never goes back, neither when somebody sets the clock nor across a restart.
type clock struct {
	floor int64 // Unix nanoseconds
	at    time.Time
}

func (c *clock) read(now time.Time) int64 {
	if c.at.IsZero() {
		c.floor = max(c.floor, now.UnixNano())
	} else if d := now.Sub(c.at); d > 0 { // by the monotonic clock
		c.floor += int64(d)
	}
	c.at = now
	return c.floor
}

// refusal returns nil if IPv4 addresses may be leased now. s.mu is held.
func (s *Store) refusal(now time.Time) error {
	h := s.held.v4
	if s.barred != nil {
		return s.barred
	}
	if h.terms.Epoch == 0 {
		return fmt.Errorf("%w: the block store has not admitted this host yet", ErrNoAddress)
	}
	if !s.sure {
		return fmt.Errorf("%w: this host was started and has not reached the block store since, so it cannot know whether its "+
			"blocks are still its own", ErrNoAddress)
	}
	if s.contacted.IsZero() && now.UnixNano() < s.held.latest-int64(backStep) {
		return fmt.Errorf("%w: the clock went back by %v and the block store was not reached since", ErrNoAddress,
			time.Duration(s.held.latest-now.UnixNano()).Round(time.Second))
	}
	if age, limit := s.contactAge(now), s.deadAfter(); age > limit {
		return fmt.Errorf("%w: the block store last answered %v ago, and after %v this host's blocks may be given to others",
			ErrNoAddress, age.Round(time.Second), limit)
	}
	return nil
}

// contactAge returns how long ago the last answered Refresh was sent, by whichever clock says longer. s.mu is held.
func (s *Store) contactAge(now time.Time) time.Duration {
	age := time.Duration(now.UnixNano() - s.held.v4.contact)
	if s.contacted.IsZero() {
		return max(age, time.Duration(s.clock.read(now)-s.held.v4.contact))
	}
	return max(age, now.Sub(s.contacted))
}

func (s *Store) deadAfter() time.Duration {
	if d := s.held.v4.terms.Timing.DeadAfter; d > 0 {
		return d
	}
	return registry.DefaultTiming.DeadAfter
}

// pick chooses the IPv4 address for a, want if that is valid, and returns it with its pool's prefix length. s.mu is held.
func (s *Store) pick(now time.Time, a Attachment, v V4Request) (netip.Addr, int, error) {
	if err := s.refusal(now); err != nil {
		return netip.Addr{}, 0, err
	}
	c := s.chooser(now)
	addr, err := v.Addr, error(nil)
	if addr.IsValid() {
		err = c.requested(a, addr)
	} else {
		addr, err = c.any(a, v.Not)
	}
	if err != nil {
		return netip.Addr{}, 0, err
	}
	pool, _ := registry.PoolOf(c.terms.Pools, addr)
	return addr, pool.Prefix.Bits(), nil
}

func (s *Store) chooser(now time.Time) *chooser {
	return &chooser{s.held.v4, s.clock.read(now), s.cooldown, func(addr netip.Addr) bool { return s.addrs[addr] }}
}
