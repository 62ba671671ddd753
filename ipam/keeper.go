package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meshnet/ipam/registry"
)

// keeper is the part of the Manager that one goroutine at a time may use: it speaks to the block store and keeps what that says.
type keeper struct {
	cfg      ManagerConfig
	seq      uint64                    // of the last command
	due      time.Time                 // of the next Refresh
	notUntil time.Time                 // no reserve is asked for before, as there was none to have
	rejoin   bool                      // the next Refresh may be answered by another registry
	lost     map[Attachment]netip.Addr // leases that have been reported
	silent   bool                      // the last Refresh has failed, and was logged
	retired  bool                      // this node leaves: it asks for nothing any more
}

// do has the block store decide c for this node.
func (k *keeper) do(ctx context.Context, c registry.Command) (registry.Result, error) {
	if k.retired {
		return registry.Result{}, fmt.Errorf("%w: this host is leaving the network", ErrNoStore)
	}
	k.seq++
	c.Node, c.Instance, c.Seq = k.cfg.Node, k.cfg.Instance, k.seq
	k.cfg.Store.standing(&c)
	if k.rejoin {
		c.Registry, c.Generation, c.Epoch = registry.ID{}, 0, 0
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	r, err := k.cfg.Blocks.Do(ctx, c)
	if errors.Is(err, registry.ErrOtherRegistry) {
		// An engine that meets another registry of the network does not even ask: what is leased here may be leased there.
		k.cfg.Store.bar(fmt.Errorf("%w: %w", ErrNoAddress, err))
	}
	if err != nil {
		return registry.Result{}, err
	}
	switch r.Code {
	case registry.Fenced, registry.Superseded:
		k.fenced(&r)
	case registry.OtherRegistry:
		k.cfg.Store.bar(fmt.Errorf("%w: %w", ErrNoAddress, r.Err()))
	case registry.RefreshFirst, registry.StaleGeneration:
		k.due = time.Time{}
	}
	return r, r.Err()
}

// fenced gives up what was owned under an epoch that has ended.
func (k *keeper) fenced(r *registry.Result) {
	if k.cfg.Store.admitted() {
		k.cfg.Log.Error("the block store says that this host's blocks are no longer its own: giving them up", "err", r.Err())
		if err := k.cfg.Store.fence(); err != nil {
			k.cfg.Log.Error("could not write down that all blocks are lost; no IPv4 address is leased", "err", err)
		}
		k.reportLost()
	}
	k.due = time.Time{}
	if r.Code == registry.Superseded { // for good: the later start goes on
		k.cfg.Store.bar(fmt.Errorf("%w: %w", ErrNoAddress, r.Err()))
		k.due = k.cfg.Now().Add(k.cfg.Refresh)
	}
}

// refresh tells the block store what this node has and takes what it says. A node whose epoch has ended is admitted anew.
func (k *keeper) refresh(ctx context.Context) error {
	for range 2 {
		sent := k.cfg.Now()
		r, err := k.do(ctx, registry.Command{Op: registry.OpRefresh, Name: clipText(k.cfg.Name)})
		if r.Code == registry.Fenced && err != nil && !errors.Is(err, ErrNoStore) {
			continue // now with epoch 0
		}
		if err != nil {
			return fmt.Errorf("refreshing: %w", err)
		}
		return k.take(sent, &r)
	}
	return fmt.Errorf("refreshing: %w", registry.ErrFenced)
}

func (k *keeper) take(sent time.Time, r *registry.Result) error {
	if k.rejoin && k.cfg.Store.otherRegistry(r.Registry) {
		if err := k.cfg.Store.fence(); err != nil {
			return err
		}
	}
	k.rejoin = false
	if err := k.cfg.Store.refreshed(sent, r); err != nil {
		return fmt.Errorf("keeping what the block store said: %w", err)
	}
	k.due, k.notUntil = sent.Add(k.cfg.Refresh), time.Time{}
	k.reportLost()
	return nil
}

// reportLost tells of leases that were lost since the last time.
func (k *keeper) reportLost() {
	lost := k.cfg.Store.lost()
	held := make(map[Attachment]netip.Addr, len(lost))
	news := false
	for _, l := range lost {
		held[l.Attachment] = l.IPv4
		news = news || k.lost[l.Attachment] != l.IPv4
	}
	if news {
		for _, l := range lost {
			k.cfg.Log.Warn("the IPv4 address of an attachment is lost: detach it and attach it again", "container", l.Container, "ifname", l.IfName, "addr", l.IPv4)
		}
		if k.cfg.Lost != nil {
			k.cfg.Lost(lost)
		}
	}
	k.lost = held
}

// tend does what is due: a Refresh, a block more, or one less.
func (k *keeper) tend(ctx context.Context) {
	if k.retired {
		return
	}
	if !k.cfg.Now().Before(k.due) {
		err := k.refresh(ctx)
		if (err != nil) != k.silent {
			k.silent = err != nil
			k.cfg.Log.Warn("the block store answers again or no longer", "err", err)
		}
		if err != nil {
			return
		}
	}
	blocks, idle := k.cfg.Store.loads(k.cfg.Now())
	for _, addr := range idle {
		k.giveBack(ctx, single(addr))
	}
	want, surplus := planBlocks(blocks)
	switch {
	case want && k.cfg.Now().After(k.notUntil):
		if err := k.claim(ctx); err != nil {
			k.notUntil = k.cfg.Now().Add(tendEvery)
			k.cfg.Log.Warn("no block for the reserve", "err", err)
		}
	case surplus.IsValid():
		k.giveBack(ctx, surplus)
	}
}

// supply gets this node an address that can be leased, if there is none.
func (k *keeper) supply(ctx context.Context) error {
	now := k.cfg.Now()
	if err := k.cfg.Store.canLease(now); err == nil {
		return nil
	}
	if !now.Before(k.due) || k.cfg.Store.refused(now) {
		if err := k.refresh(ctx); err != nil {
			return err
		}
		if err := k.cfg.Store.canLease(now); err == nil {
			return nil
		}
	}
	return k.claim(ctx)
}

func (k *keeper) claim(ctx context.Context) error {
	r, err := k.do(ctx, registry.Command{Op: registry.OpClaim})
	if err != nil {
		return fmt.Errorf("claiming a block: %w", err)
	}
	return k.cfg.Store.granted(k.cfg.Now(), r.Blocks)
}

// claimAddress returns the block store's answer too, as it may name who can give the address.
func (k *keeper) claimAddress(ctx context.Context, addr netip.Addr, attachment string) (registry.Result, error) {
	if k.cfg.Store.refused(k.cfg.Now()) || !k.cfg.Now().Before(k.due) {
		if err := k.refresh(ctx); err != nil {
			return registry.Result{}, err
		}
	}
	r, err := k.do(ctx, registry.Command{Op: registry.OpClaimAddress, Addr: addr, Attachment: attachment})
	if err != nil {
		return r, fmt.Errorf("claiming %v: %w", addr, err)
	}
	return r, k.cfg.Store.claimed(k.cfg.Now(), addr)
}

// carveOut stops leasing addr before it says so. If the answer is lost the address stays out until the next Refresh tells.
func (k *keeper) carveOut(ctx context.Context, addr netip.Addr, to registry.NodeID, epoch uint64, attachment string) error {
	if err := k.cfg.Store.carve(k.cfg.Now(), addr, attachment); err != nil {
		return err
	}
	k.due = time.Time{}
	c := registry.Command{Op: registry.OpCarveOut, Addr: addr, To: to, ToEpoch: epoch, Attachment: attachment}
	if _, err := k.do(ctx, c); err != nil {
		return fmt.Errorf("leaving %v to %s: %w", addr, to.Short(), err)
	}
	return nil
}

// giveBack gives up p, durably, before it says so. If the answer is lost the next Refresh gives p to this node once more.
func (k *keeper) giveBack(ctx context.Context, p netip.Prefix) {
	given, err := k.cfg.Store.giveUp(p)
	if err != nil {
		k.cfg.Log.Warn("could not give addresses back", "prefix", p, "err", err)
	}
	if !given || err != nil {
		return
	}
	c := registry.Command{Op: registry.OpReleaseBlock, Block: p}
	if p.IsSingleIP() {
		c = registry.Command{Op: registry.OpReleaseAddress, Addr: p.Addr()}
	}
	if _, err := k.do(ctx, c); err != nil {
		k.cfg.Log.Warn("could not give addresses back", "prefix", p, "err", err)
	}
}
