package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/hub"
	"meshnet/meshd/node"
	"meshnet/meshd/reconcile"
	"meshnet/meshd/udp"
)

// daemon is the networks of this host and what they share.
type daemon struct {
	nodeName string // this host's name in new networks
	version  string
	started  time.Time
	hub      *hub.Hub
	conns    []*udp.Conn // the hub's sockets
	without  []string    // offloads not to use
	relay    bool        // this host relays for members of its networks
	state    *config.State
	log      *slog.Logger

	addrs addrCache

	ctx   context.Context // of the networks' goroutines, which outlive the calls that start them
	tasks sync.WaitGroup

	declared   map[string]bool // the networks of the configuration file
	unreadable error           // what is wrong with the networks that could not be read at the start

	changes sync.Mutex // held while a network is made or removed, so that two calls cannot make the same one

	mu       sync.Mutex // guards what follows, and the fields of each network
	networks map[string]*network
}

// begin starts the networks of earlier runs. One that cannot run does not stop the others: it is tried again.
func (d *daemon) begin() {
	d.changes.Lock()
	defer d.changes.Unlock()
	saved, err := d.state.List()
	if err != nil {
		d.log.Error("networks cannot be started", "err", err)
		d.unreadable = err
	}
	for _, s := range saved {
		if !s.Pending {
			d.start(s)
			continue
		}
		d.log.Info("a network that was being made or removed is erased", "network", s.Name)
		if err := d.erase(s); err != nil {
			d.unreadable = errors.Join(d.unreadable, err)
		}
	}
}

// start makes a network run that is kept already. A failure is tried again.
func (d *daemon) start(s settings) {
	nw := d.register(s)
	o, err := d.open(s)
	d.launch(nw, o, err)
}

// add makes a new network run, and keeps it if joined says that it may stay; else it leaves nothing behind, even if meshd is
// killed meanwhile: until it is kept, what is on disk says that it is pending. d.changes is held.
func (d *daemon) add(s settings, joined func(*network) error) (*network, error) {
	if err := complete(&s); err != nil {
		return nil, err
	}
	if err := d.absent(s); err != nil {
		return nil, err
	}
	exists, err := checkBridge(s)
	if err != nil {
		return nil, err
	}
	s.BridgeOwned, s.Pending = !exists, true
	nw := d.register(s)
	o, err := d.open(s)
	if err != nil {
		d.unregister(s.Name)
		return nil, errors.Join(err, d.forget(s))
	}
	d.launch(nw, o, nil)
	if err = joined(nw); err == nil {
		err = d.keep(nw)
	}
	if err != nil {
		return nil, errors.Join(err, d.remove(nw))
	}
	return nw, nil
}

// keep makes a pending network one that the next start finds.
func (d *daemon) keep(nw *network) error {
	s, _, _ := d.snapshot(nw)
	s.Pending = false
	if err := d.state.Save(s); err != nil {
		return err
	}
	d.change(nw, s)
	return nil
}

// remove stops a network and forgets it. After an error it can be repeated, and the next start does so.
func (d *daemon) remove(nw *network) error {
	d.stop(nw)
	s, _, _ := d.snapshot(nw)
	s.Pending = true
	err := d.state.Save(s)
	d.change(nw, s)
	if erased := d.erase(s); erased != nil {
		err = errors.Join(err, erased)
		d.note(nw, nil, fmt.Errorf("the network was left, but not all of it could be removed; leave it again: %w", err))
		return err
	}
	d.unregister(s.Name)
	return nil
}

// change replaces the settings of a network.
func (d *daemon) change(nw *network, s settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	nw.settings = s
}

// register makes a network known before it runs.
func (d *daemon) register(s settings) *network {
	nw := &network{settings: s, done: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.networks[s.Name] = nw
	return nw
}

// unregister forgets a network that does not run.
func (d *daemon) unregister(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.networks, name)
}

// find returns the network called name.
func (d *daemon) find(name string) (*network, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if nw, ok := d.networks[name]; ok {
		return nw, nil
	}
	if len(d.networks) == 0 {
		return nil, api.Errorf(api.NotFound, "there is no network %q: this host is in no network; create or join one first", name)
	}
	names := slices.Sorted(maps.Keys(d.networks))
	return nil, api.Errorf(api.NotFound, "there is no network %q on this host, only %s", name, strings.Join(names, ", "))
}

// sorted returns the networks by name.
func (d *daemon) sorted() []*network {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.networks), func(a, b *network) int {
		return cmp.Compare(a.settings.Name, b.settings.Name)
	})
}

// snapshot returns a network's parts as they are now: node is nil, and err says why, if it does not run.
func (d *daemon) snapshot(nw *network) (s settings, n *node.Node, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nw.settings, nw.node, nw.err
}

// vanished returns what frees the leases of a network's vanished containers; nil while it does not run.
func (d *daemon) vanished(nw *network) *reconcile.Reconciler {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nw.vanished
}

// loadKnown returns the members met in earlier runs.
func (d *daemon) loadKnown(network string) []node.KnownPeer {
	peers, err := d.state.LoadPeers(network)
	if err != nil {
		d.log.Warn("members met earlier are not known", "network", network, "err", err)
	}
	known := make([]node.KnownPeer, len(peers))
	for i, p := range peers {
		known[i] = node.KnownPeer(p)
	}
	return known
}

// saveKnown remembers members for the next run.
func (d *daemon) saveKnown(network string, known []node.KnownPeer) {
	peers := make([]config.Peer, len(known))
	for i, k := range known {
		peers[i] = config.Peer(k)
	}
	if err := d.state.SavePeers(network, peers); err != nil {
		d.log.Warn("members will not be known after a restart", "network", network, "err", err)
	}
}
