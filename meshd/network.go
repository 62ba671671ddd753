package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/nameserver"
	"meshnet/meshd/node"
	"meshnet/meshd/reconcile"
	"meshnet/meshd/session"
	"meshnet/meshd/tap"
	"meshnet/meshd/token"
)

// retryInterval is how long after a failure a network is started again: its bridge may come up later than meshd.
const retryInterval = 5 * time.Second

type settings = config.Settings

// network is one network of this host, running or not. Its fields but done are guarded by daemon.mu.
type network struct {
	settings settings
	node     *node.Node            // nil while it does not run
	vanished *reconcile.Reconciler // frees what containers that have gone left behind; nil with node
	device   *tap.Device           // nil until it was open first
	names    *nameserver.Server    // nil while there is none
	nameless error                 // why there is none
	err      error                 // why it does not run
	cancel   context.CancelFunc
	done     chan struct{} // closed when its goroutine has ended
}

// opened is a network whose parts are open and wait to be run.
type opened struct {
	settings settings // as used and saved: with this start's instance
	node     *node.Node
	vanished *reconcile.Reconciler
	device   *tap.Device
	slot     uint8
}

// open opens a network's parts. After an error nothing is open; what it made on the host is left to a retry or to erase.
func (d *daemon) open(s settings) (_ *opened, err error) {
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()

	s.LastInstance = max(uint64(time.Now().UnixNano()), s.LastInstance+1)
	if err := d.state.Save(s); err != nil {
		return nil, err
	}
	if err := ensureBridge(s); err != nil {
		return nil, err
	}
	device, err := tap.Open(tap.Config{Name: tapName(s), MTU: s.MTU, Queues: tapQueues(runtime.NumCPU()), Off: tapOff(d.without)})
	if err != nil {
		return nil, err
	}
	if s.Pending {
		undo = append(undo, func() error { return tap.Remove(device.Name()) })
	}
	undo = append(undo, device.Close)
	if err := tap.Attach(device.Name(), s.Bridge); err != nil {
		return nil, err
	}
	leases, err := ipam.Open(filepath.Join(d.state.NetworkDir(s.Name), "leases"), ipam.Config{
		NetworkID: s.NetworkID, Node: s.Identity.Public, Key: ipam.AddressKey(s.PSK), Prefix: s.IPv6,
		Boot: bootID(), Log: d.log,
	})
	if err != nil {
		return nil, err
	}
	undo = append(undo, leases.Close)
	slot, err := d.hub.Add()
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() error { d.hub.Remove(slot); return nil })
	n, err := node.New(d.nodeConfig(s, slot, device, leases))
	if err != nil {
		return nil, err
	}
	d.hub.Attach(slot, n)
	return &opened{settings: s, node: n, vanished: d.reconciler(s, n), device: device, slot: slot}, nil
}

// nodeConfig says what the network's node is made of.
func (d *daemon) nodeConfig(s settings, slot uint8, device *tap.Device, leases *ipam.Store) node.Config {
	return node.Config{
		Name:           s.Name,
		NodeName:       s.NodeName,
		NetworkID:      s.NetworkID,
		PSK:            s.PSK,
		Identity:       s.Identity,
		Instance:       s.LastInstance,
		AES:            hasAES(),
		Created:        s.Created,
		Relay:          d.relay,
		MTU:            s.MTU,
		Prefix:         ipam.Subnet(s.IPv6),
		Pools:          poolPrefixes(s.Pools),
		DHCP:           dhcpModes[dhcpOf(s)],
		Router:         s.Egress == token.EgressNAT,
		DNS:            dnsServers(s),
		Domain:         domainOf(s),
		Seeds:          s.Seeds,
		Advertise:      s.Advertise,
		Known:          d.loadKnown(s.Name),
		SaveKnown:      func(known []node.KnownPeer) { d.saveKnown(s.Name, known) },
		Slot:           slot,
		Underlay:       d.hub,
		TAP:            device,
		Queues:         queuesOf(device),
		Lanes:          d.hub.Lanes(),
		Leases:         leases,
		Blocks:         d.blockStore(s),
		BridgeMAC:      bridgeMACOf,
		LocalEndpoints: d.localEndpoints,
		Resolve:        resolve,
		Log:            d.log,
	}
}

// launch starts the goroutine of a registered network; o is nil if opening it failed with err.
func (d *daemon) launch(nw *network, o *opened, err error) {
	ctx, cancel := context.WithCancel(d.ctx)
	d.mu.Lock()
	nw.cancel = cancel
	d.mu.Unlock()
	d.note(nw, o, err)
	d.tasks.Go(func() {
		defer close(nw.done)
		var wg sync.WaitGroup
		wg.Go(func() { d.keepGateway(ctx, nw) }) // who waits for done may then remove the gateway
		d.keepRunning(ctx, nw, o)
		cancel()
		wg.Wait()
	})
	d.tasks.Go(func() { d.keepWired(ctx, nw) })
}

// keepRunning runs a network until ctx ends, and opens it again when it has failed.
func (d *daemon) keepRunning(ctx context.Context, nw *network, o *opened) {
	for {
		var err error
		if o != nil {
			err = o.run(ctx)
			d.hub.Remove(o.slot)
			if ctx.Err() != nil {
				err = errors.Join(err, ctx.Err())
			}
			d.note(nw, nil, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInterval):
		}
		s, _, _ := d.snapshot(nw)
		o, err = d.open(s)
		d.note(nw, o, err)
	}
}

// run runs the network's parts until ctx ends or the node fails.
func (o *opened) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { o.vanished.Run(ctx) })
	err := o.node.Run(ctx)
	cancel()
	wg.Wait()
	return err
}

// reconciler returns what frees the leases of containers that have gone without a word.
func (d *daemon) reconciler(s settings, n *node.Node) *reconcile.Reconciler {
	return reconcile.New(reconcile.Config{
		// Those made by DHCP end by themselves, the host's own with its gateway, and LXD's instances have theirs while they are stopped.
		Leases: func() []ipam.Lease {
			return slices.DeleteFunc(n.Leases(), func(l ipam.Lease) bool {
				return l.Holder.Source == node.SourceDHCP || l.Holder.Source == string(api.SourceLXD) || l.Container == ""
			})
		},
		Release: func(_ context.Context, l ipam.Lease) error {
			_, err := n.Detach(l.Attachment)
			return err
		},
		Observer: &reconcile.Linux{Bridge: s.Bridge},
		BootID:   bootID(),
		BootFile: filepath.Join(d.state.NetworkDir(s.Name), "boot"),
		Log:      d.log.With("network", s.Name),
	})
}

// keepWired looks now and then whether the network's TAP and bridge are as they were made, and mends them: whoever flushes a
// host's interfaces does not ask first. Containers whose bridge was removed have to be started again.
func (d *daemon) keepWired(ctx context.Context, nw *network) {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s, n, _ := d.snapshot(nw)
		if n == nil {
			continue
		}
		d.noteFounded(nw)
		lost := !tap.BridgeExists(s.Bridge)
		err := ensureBridge(s)
		if err == nil {
			err = tap.Attach(tapName(s), s.Bridge)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			n.Warn("bridge", "the network is not connected: "+err.Error())
		case lost:
			n.Warn("bridge", "bridge "+s.Bridge+" was removed and has been made again: start the containers that were in it again")
		}
	}
}

// note records whether a network runs, and logs it if that is news.
func (d *daemon) note(nw *network, o *opened, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := nw.err
	nw.node, nw.vanished, nw.err = nil, nil, err
	if o != nil {
		nw.settings, nw.node, nw.vanished, nw.device = o.settings, o.node, o.vanished, o.device
	}
	name := nw.settings.Name
	switch {
	case o != nil:
		d.logOffloads(tapOffloads(o.device), "network", name)
		d.log.Info("network started", "network", name, "bridge", nw.settings.Bridge, "node", nw.settings.NodeName)
	case errors.Is(err, context.Canceled):
		d.log.Info("network stopped", "network", name)
	case err != nil && (old == nil || old.Error() != err.Error()):
		d.log.Error("network does not run; trying again", "network", name, "every", retryInterval, "err", err)
	}
}

// deviceOf returns a network's TAP, nil if it has not been open.
func (d *daemon) deviceOf(nw *network) *tap.Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nw.device
}

// stop ends a network's goroutine and waits for it.
func (d *daemon) stop(nw *network) {
	d.mu.Lock()
	cancel := nw.cancel
	d.mu.Unlock()
	cancel()
	<-nw.done
}

// checkBridge reports whether the bridge of a new network exists, and refuses a name that something else has.
func checkBridge(s settings) (exists bool, err error) {
	if exists = tap.BridgeExists(s.Bridge); !exists && tap.Exists(s.Bridge) {
		return false, api.Errorf(api.Conflict, "%s is not a bridge; say another --bridge, or remove it", s.Bridge)
	}
	return exists, nil
}

// ensureBridge makes the network's bridge if it is meshd's to make, and sets it up. A bridge that others make (lxc-net, LXD, an
// administrator) is waited for.
func ensureBridge(s settings) error {
	if !s.BridgeOwned && !tap.BridgeExists(s.Bridge) {
		return fmt.Errorf("there is no bridge %s; others make it, so it is waited for", s.Bridge)
	}
	_, err := tap.EnsureBridge(s.Bridge, s.MTU, bridgeMAC(s))
	return err
}

// bridgeMAC is the bridge's own address: fixed, or it would follow its ports, and unlike that of any other host.
func bridgeMAC(s settings) [6]byte { return bridgeMACOf(s.Identity.Public) }

// bridgeMACOf is that of the bridge of the member id, if its meshd made it.
func bridgeMACOf(id session.NodeID) [6]byte {
	h := sha256.Sum256(append([]byte("meshnet bridge\x00"), id[:]...))
	return [6]byte{h[0]&^0x01 | 0x02, h[1], h[2], h[3], h[4], h[5]}
}

// maxQueues bounds the queues of a TAP: each has its goroutine and some hundred KB.
const maxQueues = 4

// tapQueues returns how many queues a TAP has on a host with that many processors: each carries some of the flows from the containers.
func tapQueues(processors int) int { return min(processors, maxQueues) }

// queuesOf returns the queues of a TAP.
func queuesOf(device *tap.Device) []node.TAP {
	queues := make([]node.TAP, device.Queues())
	for i := range queues {
		queues[i] = device.Queue(i)
	}
	return queues
}

// tapName is the name of the network's TAP: fixed, so that it is found again after a restart.
func tapName(s settings) string { return "mt" + hex.EncodeToString(s.NetworkID[:4]) }

// erase removes a network that does not run from the host, with all that meshd made for it.
func (d *daemon) erase(s settings) error {
	if err := tap.Remove(tapName(s)); err != nil {
		return fmt.Errorf("removing what belongs to network %s: %w", s.Name, err)
	}
	return d.forget(s)
}

// forget removes a network's bridge and files. Its TAP may be another meshd's, if it could not be opened.
func (d *daemon) forget(s settings) error {
	if err := errors.Join(removeGateway(s), removeBridge(s), d.state.Remove(s.Name)); err != nil {
		return fmt.Errorf("removing what belongs to network %s: %w", s.Name, err)
	}
	return nil
}

// removeBridge removes the network's bridge if meshd made it.
func removeBridge(s settings) error {
	if !s.BridgeOwned {
		return nil
	}
	return tap.RemoveBridge(s.Bridge)
}
