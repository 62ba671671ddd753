package main

import (
	"net/netip"
	"time"

	"meshnet/meshd/api"
)

// formerAge is how long it is remembered which addresses an interface had on another host.
const formerAge = 10 * time.Minute

// formerAddrs are the addresses of an interface on another host.
type formerAddrs struct {
	addrs []netip.Addr
	seen  time.Time
}

// remember returns the addresses that interfaces had on other hosts: an instance that is moved to this one keeps its MAC.
func (r *runner) remember(now time.Time, leases []api.Lease, nics []nic) map[api.MAC][]netip.Addr {
	ours := make(map[api.MAC]bool)
	for _, n := range nics {
		ours[n.mac] = true
	}
	local := make(map[api.MAC]bool)
	for _, l := range leases {
		if l.Local {
			local[l.MAC] = true
		} else {
			r.former[l.MAC] = formerAddrs{l.Addresses, now}
		}
	}
	addrs := make(map[api.MAC][]netip.Addr)
	for mac, f := range r.former {
		if local[mac] || now.Sub(f.seen) > formerAge {
			delete(r.former, mac)
		} else if ours[mac] {
			addrs[mac] = f.addrs
		}
	}
	return addrs
}
