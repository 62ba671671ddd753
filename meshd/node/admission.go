package node

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxTemporary bounds the leases of MACs that nobody knows: anybody on the bridge can make up MACs. It bounds the addresses that
	// they keep from others, too: those that are being leased and those that cool down after a lease count.
	maxTemporary = 512
	// maxLeasing bounds how many such leases are being made at once; making one may wait for the block store.
	maxLeasing = 8
	// temporaryBurst is how many MACs get a first lease at once, when a host full of machines starts; then it is one in temporaryInterval.
	temporaryBurst    = 64
	temporaryInterval = time.Second
	// coolingTime is how long nobody else gets an address after its lease: ipam.Config.Cooldown, where that is zero.
	coolingTime = time.Minute
)

// admission says whether one MAC more that nobody knows gets a lease.
type admission struct {
	newcomers *rate.Limiter
	cooling   []time.Time // until when each address cools, in order
}

func newAdmission() admission {
	return admission{newcomers: rate.NewLimiter(rate.Every(temporaryInterval), temporaryBurst)}
}

// admit returns why a MAC gets no lease now, or "". leases is how many others have one, or are about to.
func (a *admission) admit(now time.Time, leases int) (why string) {
	still := slices.IndexFunc(a.cooling, func(until time.Time) bool { return until.After(now) })
	if still < 0 {
		still = len(a.cooling)
	}
	a.cooling = slices.Delete(a.cooling, 0, still)
	switch {
	case leases+len(a.cooling) >= maxTemporary:
		return fmt.Sprintf("%d MACs that no container was attached with have addresses, or had until a minute ago, and no more get any: "+
			"look at meshctl leases; with --dhcp closed only attached containers get addresses", maxTemporary)
	case !a.newcomers.AllowN(now, 1):
		return fmt.Sprintf("more than %d MACs that no container was attached with ask for addresses at once: they get theirs one by one, "+
			"one in %v; if something makes them up, --dhcp closed gives addresses to attached containers only", temporaryBurst, temporaryInterval)
	}
	return ""
}

// ended notes that a lease has ended.
func (a *admission) ended(now time.Time) { a.cooling = append(a.cooling, now.Add(coolingTime)) }
