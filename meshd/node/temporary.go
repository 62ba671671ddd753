package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/answer"
	"meshnet/meshd/control"
	"meshnet/meshd/mesh"
)

const (
	// declinedAge is how long a machine is not given an address again that it found in use.
	declinedAge = time.Hour
	// temporaryPrefix is in front of a MAC where a container's name would be.
	temporaryPrefix = "dhcp-"
	// attendInterval is how often temporary leases are looked at.
	attendInterval = time.Minute
)

// temporary reports whether a lease ends when it is not renewed.
func temporary(l ipam.Lease) bool { return l.Holder.Source == SourceDHCP }

// temporaryAttachment names the attachment of a MAC that nobody knows.
func temporaryAttachment(mac answer.MAC) ipam.Attachment {
	return ipam.Attachment{Container: temporaryPrefix + hex.EncodeToString(mac[:]), IfName: "eth0"}
}

// temporaryMAC returns the MAC that has a temporary lease, if nb is the attachment of one: of these only the name tells it.
func temporaryMAC(nb control.Neighbour) (mac answer.MAC, ok bool) {
	digits, ok := strings.CutPrefix(nb.Container, temporaryPrefix)
	if !ok || known(nb) || len(digits) != hex.EncodedLen(len(mac)) {
		return answer.MAC{}, false
	}
	_, err := hex.Decode(mac[:], []byte(digits))
	a := temporaryAttachment(mac)
	return mac, err == nil && nb.Container == a.Container && nb.IfName == a.IfName
}

// attendant does what has to be done beside answering containers. It is used by one goroutine.
type attendant struct {
	n       *Node
	held    map[answer.MAC]validity // the temporary leases
	leasing map[answer.MAC]bool     // those being made
	admission
	declined map[answer.MAC]declined // addresses that others use
	warned   map[answer.EventKind]time.Time
	remote   uint64 // frames with the MACs of other hosts' containers, at the last look
	wg       sync.WaitGroup
	made     chan made
}

// declined is an address that a machine found in use, and until when it is given another.
type declined struct {
	addr  netip.Addr
	until time.Time
}

// made is what came of making a lease.
type made struct {
	asked
	err error
}

// attend does what containers ask for beside answers, until ctx ends.
func (n *Node) attend(ctx context.Context) {
	a := &attendant{
		n: n, held: make(map[answer.MAC]validity), leasing: make(map[answer.MAC]bool), warned: make(map[answer.EventKind]time.Time),
		declined: make(map[answer.MAC]declined),
		made:     make(chan made, maxLeasing), admission: newAdmission(),
	}
	defer a.wg.Wait()
	now := time.Now()
	for _, l := range n.cfg.Leases.Leases() {
		if temporary(l) { // it may have been renewed just before the restart
			a.held[answer.MAC(l.MAC)] = validity{v4: now.Add(answer.TemporaryLeaseTime), v6: now.Add(answer.TemporaryLeaseTime)}
		}
	}
	tick, advertise := time.NewTicker(attendInterval), time.NewTicker(answer.AdvertiseInterval)
	defer tick.Stop()
	defer advertise.Stop()
	a.advertise()
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-n.answers.asked:
			a.event(ctx, time.Now(), q)
		case m := <-a.made:
			a.leased(ctx, time.Now(), m)
		case <-n.answers.told:
			a.yield(time.Now())
		case now := <-tick.C:
			a.look(now)
		case <-advertise.C:
			a.advertise()
		}
	}
}

// advertise tells all containers where they are, for those whose question got lost.
func (a *attendant) advertise() {
	if a.n.cfg.DHCP != answer.Off {
		a.n.fabric.Say(a.n.cfg.TAP, a.n.answers.segment.Load().Advertise(nil))
	}
}

// event handles one event.
func (a *attendant) event(ctx context.Context, now time.Time, q asked) {
	v, held := a.held[q.MAC]
	switch q.Kind {
	case answer.Needs:
		a.lease(ctx, now, q)
	case answer.Renewed:
		until := now.Add(answer.TemporaryLeaseTime)
		if q.Addr.Is4() {
			v.v4 = until
		} else {
			v.v6 = until
		}
		a.held[q.MAC] = v
	case answer.Released:
		if q.Addr.Is4() {
			v.v4 = time.Time{}
		} else {
			v.v6 = time.Time{}
		}
		a.held[q.MAC] = v
		if held && v.v4.IsZero() && v.v6.IsZero() {
			a.end(now, q.MAC, "it was released")
		}
	case answer.Declined:
		a.warn(now, q.Event)
		if held && q.Addr.Is4() && !a.leasing[q.MAC] {
			a.declined[q.MAC] = declined{addr: q.Addr, until: now.Add(declinedAge)}
			a.end(now, q.MAC, "its address is used by somebody else")
		}
	default:
		a.warn(now, q.Event)
	}
}

// lease begins to make a lease for a MAC that has none.
func (a *attendant) lease(ctx context.Context, now time.Time, q asked) {
	if a.leasing[q.MAC] || len(a.leasing) >= maxLeasing {
		return // it asks again
	}
	if whose := a.n.reserved(q.MAC); whose != "" {
		a.say(now, q.Kind, fmt.Sprintf("a container or machine asks for addresses with MAC %v, which is %s: it gets none", net.HardwareAddr(q.MAC[:]), whose))
		return
	}
	if _, held := a.held[q.MAC]; !held {
		if why := a.admit(now, len(a.held)+len(a.leasing)); why != "" {
			a.say(now, q.Kind, why)
			return
		}
	}
	a.leasing[q.MAC] = true
	not := a.declined[q.MAC].addr
	a.wg.Go(func() {
		_, err := a.n.Attach(ctx, ipam.Request{
			Attachment: temporaryAttachment(q.MAC), Holder: ipam.Holder{Source: SourceDHCP}, MAC: q.MAC, IPv4: ipam.V4Request{Not: not},
		})
		if errors.Is(err, ipam.ErrNoAddress) { // IPv6 goes on; IPv4 is tried again with the next question
			_, v6 := a.n.Attach(ctx, ipam.Request{
				Attachment: temporaryAttachment(q.MAC), Holder: ipam.Holder{Source: SourceDHCP}, MAC: q.MAC, IPv4: ipam.V4Request{None: true},
			})
			err = errors.Join(err, v6)
		}
		a.made <- made{q, err} // there is room for all of them
	})
}

// leased answers who waited for a lease.
func (a *attendant) leased(ctx context.Context, now time.Time, m made) {
	delete(a.leasing, m.MAC)
	if a.n.do(ctx, a.n.readNeighbours) != nil {
		return
	}
	lease, leased := a.n.answers.tables.Load().Leases[m.MAC]
	if m.err != nil && (!leased || lease.Temporary) { // else somebody attached it meanwhile
		a.say(now, m.Kind, fmt.Sprintf("a container or machine with MAC %v, which was not attached, asks for addresses: %v", net.HardwareAddr(m.MAC[:]), m.err))
	}
	if _, held := a.held[m.MAC]; !held {
		others := a.n.neighbours.Load().temporary[mesh.MAC(m.MAC)]
		a.held[m.MAC] = validity{kept: now.Add(answer.TemporaryLeaseTime), elsewhere: others}
	}
	if !lease.Temporary { // it failed, or is an attachment's by now
		delete(a.held, m.MAC)
	}
	if !leased {
		return
	}
	if reply := a.n.answers.again(m.asked); len(reply) > 0 {
		a.n.fabric.Say(a.n.cfg.TAP, reply)
	}
}

// look ends the leases that nobody renews, and looks for containers that take the MACs of others.
func (a *attendant) look(now time.Time) {
	for mac, v := range a.held {
		if now.After(v.ends()) && !a.leasing[mac] {
			a.end(now, mac, "it was not renewed")
		}
	}
	maps.DeleteFunc(a.declined, func(_ answer.MAC, d declined) bool { return now.After(d.until) })
	remote := a.n.fabric.Counters().Snapshot()["source_remote"]
	if remote > a.remote {
		a.n.Warn("MACs", fmt.Sprintf("a container here sends with the MAC of a container on another host: %d frames were dropped in the last "+
			"minute; is one running twice, or are the hosts' bridges connected beside the mesh?", remote-a.remote))
	}
	a.remote = remote
}

// end ends a temporary lease.
func (a *attendant) end(now time.Time, mac answer.MAC, why string) {
	at := temporaryAttachment(mac)
	if _, err := a.n.Detach(at); err != nil {
		a.n.log.Warn("ending a temporary lease failed", "container", at.Container, "err", err) // and is tried again
		return
	}
	delete(a.held, mac)
	a.ended(now)
	a.n.log.Info("a temporary lease has ended", "container", at.Container, "why", why)
}
