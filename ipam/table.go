package ipam

import (
	"fmt"
	"net/netip"
)

// table is the leases of one node with the addresses and MACs they hold, and what the node owns of the IPv4 pools.
type table struct {
	subnet netip.Prefix
	leases map[Attachment]Lease
	iids   map[uint64]Attachment
	macs   map[MAC]Attachment
	v4     *holdings
	serial uint64 // entries ever applied to this journal and those it was rewritten from
	latest int64  // the latest time of an entry, Unix nanoseconds
}

func newTable(subnet netip.Prefix) *table {
	return &table{subnet, map[Attachment]Lease{}, map[uint64]Attachment{}, map[MAC]Attachment{}, newHoldings(), 0, 0}
}

// apply changes the table by e. The error says which invariant e would break; the table is then of no more use.
func (t *table) apply(e *entry) error {
	t.serial++
	t.latest = max(t.latest, e.at)
	a := e.lease.Attachment
	old, held := t.leases[a]
	switch e.kind {
	case entryLease:
		if held {
			return fmt.Errorf("%v is leased twice", a)
		}
		return t.lease(e)
	case entrySerial:
		t.serial = e.iid
		return nil
	case entryRelease:
		if !held {
			return fmt.Errorf("%v is released but has no lease", a)
		}
		t.v4.release(&old, e.at)
		delete(t.leases, a)
		delete(t.iids, iidOf(old.IPv6))
		delete(t.macs, old.MAC)
		return nil
	case entryHolder:
		if !held {
			return fmt.Errorf("%v has another holder but no lease", a)
		}
		old.Holder = e.lease.Holder // without config and aliases: an entryLabels follows if there are any
		t.leases[a] = old
		return nil
	case entryLabels:
		if !held {
			return fmt.Errorf("%v has labels but no lease", a)
		}
		old.Holder.Config, old.Holder.Aliases = e.lease.Holder.Config, e.lease.Holder.Aliases
		t.leases[a] = old
		return nil
	case entryAddress:
		if !held {
			return fmt.Errorf("%v has an IPv4 address but no lease", a)
		}
		return t.readdress(old, e)
	}
	return t.v4.own(e, t.lose)
}

func (t *table) lease(e *entry) error {
	a := e.lease.Attachment
	if other, ok := t.iids[e.iid]; ok {
		return fmt.Errorf("%v and %v have the same address", other, a)
	}
	if other, ok := t.macs[e.lease.MAC]; ok {
		return fmt.Errorf("%v and %v have the same MAC", other, a)
	}
	l := e.lease
	l.IPv6 = join(t.subnet, e.iid)
	if err := t.v4.lease(&l); err != nil {
		return err
	}
	t.leases[a], t.iids[e.iid], t.macs[l.MAC] = l, a, a
	return nil
}

func (t *table) readdress(l Lease, e *entry) error {
	t.v4.release(&l, e.at)
	l.IPv4, l.Bits, l.Lost = e.lease.IPv4, e.lease.Bits, e.lease.Lost
	if err := t.v4.lease(&l); err != nil {
		return err
	}
	t.leases[l.Attachment] = l
	return nil
}

// lose marks the lease whose IPv4 address is no longer this node's.
func (t *table) lose(addr netip.Addr) {
	a := t.v4.lost[addr]
	l := t.leases[a]
	l.Lost = true
	t.leases[a] = l
}
