package ipam

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Kinds of entries. Each begins with kind, 1 byte, and time, 8 bytes (Unix nanoseconds); what follows is behind the kind.
// names is container and interface, holder is source and namespace; each of these four, and text, is a length of 2 bytes and
// the bytes. ipv4 is flags (bit 0: lost), prefix length of the pool and address, 1+1+4 bytes, all zero for none. prefix is
// address and length, 4+1 bytes; of a single address the length is 32.
const (
	entryLease     = 1  // identifier 8, MAC 6, ipv4, names, holder: an attachment that has none gets a lease
	entryRelease   = 2  // names: its lease ends; the IPv4 address is idle from then on
	entryHolder    = 3  // names, holder: its lease has another holder; the time is when that asked
	entryAddress   = 4  // ipv4, names: its lease has another IPv4 address, or its first
	entryTerms     = 5  // text: what the block store says of registry, epoch, pools (terms.go)
	entryContact   = 6  // text: when the Refresh was sent that has been answered, and the kernel's boot ID
	entryGained    = 7  // prefix: a block is this node's
	entryGone      = 8  // prefix: it no longer is; leases in it are lost
	entryClaimed   = 9  // prefix: a single address is this node's, and idle since
	entryUnclaimed = 10 // prefix: it no longer is; its lease is lost
	entryCarved    = 11 // prefix: a single address of an own block must not be leased, as another node has it; a lease of it is lost
	entryUncarved  = 12 // prefix: it may be leased again
	entryFenced    = 13 // nothing: epoch, blocks and single addresses are no longer this node's; leases in them are lost
	entryIdle      = 14 // prefix, names: a released address and who had it last; only in snapshots
	entrySerial    = 15 // number 8: of entries written before the end of the snapshot; the last one in it
	entryLabels    = 16 // names, then config and aliases as names are: what its lease's holder says beside source and namespace
)

const (
	maxTerms = 48 << 10                                                                     // bytes of the text of an entryTerms
	maxBoot  = 64                                                                           // bytes of a boot ID
	maxEntry = 1 + 8 + 20 + 2 + maxContainer + 2 + maxIfName + 2 + maxSource + 2 + maxNetNS // of all kinds but entryTerms
)

// entry is one change of the table. Comparable.
type entry struct {
	kind   byte
	at     int64        // Unix nanoseconds; of a lease = Created
	lease  Lease        // what the kind has of it
	iid    uint64       // of a lease, as Lease.IPv6 is not in the journal; of a serial the number
	prefix netip.Prefix // IPv4
	text   string
}

// has* say which parts the kinds have, in the order of the parts.
func hasIPv4(kind byte) bool { return kind == entryLease || kind == entryAddress }
func hasPrefix(kind byte) bool {
	return kind >= entryGained && kind <= entryUncarved || kind == entryIdle
}
func hasText(kind byte) bool   { return kind == entryTerms || kind == entryContact }
func hasNames(kind byte) bool  { return ofLease(kind) || kind == entryIdle }
func hasHolder(kind byte) bool { return kind == entryLease || kind == entryHolder }

// ofLease says whether an entry is about the lease of an attachment, and not about what this node owns.
func ofLease(kind byte) bool { return kind <= entryAddress || kind == entryLabels }

func appendEntry(dst []byte, e *entry) []byte {
	dst = append(dst, e.kind)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
	if e.kind == entryLease || e.kind == entrySerial {
		dst = binary.BigEndian.AppendUint64(dst, e.iid)
	}
	if e.kind == entryLease {
		dst = append(dst, e.lease.MAC[:]...)
	}
	if hasIPv4(e.kind) {
		dst = appendIPv4(dst, &e.lease)
	}
	if hasPrefix(e.kind) {
		addr := e.prefix.Addr().As4()
		dst = append(append(dst, addr[:]...), byte(e.prefix.Bits()))
	}
	if hasText(e.kind) {
		dst = appendFields(dst, []byte(e.text))
	}
	if hasNames(e.kind) {
		dst = appendFields(dst, []byte(e.lease.Container), []byte(e.lease.IfName))
	}
	if e.kind == entryLabels {
		dst = appendFields(dst, []byte(e.lease.Holder.Config), []byte(e.lease.Holder.Aliases))
	}
	if hasHolder(e.kind) {
		dst = appendFields(dst, []byte(e.lease.Holder.Source), []byte(e.lease.Holder.NetNS))
	}
	return dst
}

func appendIPv4(dst []byte, l *Lease) []byte {
	if !l.IPv4.IsValid() {
		return append(dst, 0, 0, 0, 0, 0, 0)
	}
	flags := byte(0)
	if l.Lost {
		flags = 1
	}
	addr := l.IPv4.As4()
	return append(append(dst, flags, byte(l.Bits)), addr[:]...)
}

var errShortEntry = errors.New("an entry is longer than its record")

// reader takes fields off the front of a body; after the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = errShortEntry
	}
	if r.err != nil {
		return make([]byte, n)
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) string() string { return string(r.take(int(binary.BigEndian.Uint16(r.take(2))))) }

func (r *reader) check(err error) {
	if r.err == nil {
		r.err = err
	}
}

// parseEntry returns the entry at the start of a body and what follows it.
func parseEntry(b []byte) (e entry, rest []byte, err error) {
	r := &reader{b: b}
	e.kind = r.take(1)[0]
	e.at = int64(r.uint64())
	if r.err == nil && (e.kind < entryLease || e.kind > entryLabels) {
		return entry{}, nil, fmt.Errorf("an entry is of kind %d, which this meshd does not know", e.kind)
	}
	if e.kind == entryLease || e.kind == entrySerial {
		e.iid = r.uint64()
	}
	if e.kind == entryLease {
		e.lease.MAC = MAC(r.take(6))
		e.lease.Created = time.Unix(0, e.at).UTC()
	}
	if hasIPv4(e.kind) {
		r.ipv4(&e)
	}
	if hasPrefix(e.kind) {
		r.prefix(&e)
	}
	if hasText(e.kind) {
		e.text = r.string()
	}
	if hasNames(e.kind) {
		e.lease.Container, e.lease.IfName = r.string(), r.string()
		r.check(e.lease.Attachment.check())
	}
	if e.kind == entryLabels {
		e.lease.Holder.Config, e.lease.Holder.Aliases = r.string(), r.string()
		r.check(e.lease.Holder.check())
	}
	if hasHolder(e.kind) {
		e.lease.Holder.Source, e.lease.Holder.NetNS = r.string(), r.string()
		r.check(e.lease.Holder.check())
	}
	if r.err != nil {
		return entry{}, nil, r.err
	}
	return e, r.b, nil
}

func (r *reader) ipv4(e *entry) {
	b := r.take(6)
	if [6]byte(b) == [6]byte{} {
		if e.kind == entryAddress {
			r.check(errors.New("a lease's new IPv4 address is missing"))
		}
		return
	}
	e.lease.Lost, e.lease.Bits, e.lease.IPv4 = b[0] == 1, int(b[1]), netip.AddrFrom4([4]byte(b[2:]))
	if b[0] > 1 || b[1] < 1 || b[1] > 32 {
		r.check(fmt.Errorf("a lease's IPv4 address is %x, which cannot be", b))
	}
}

func (r *reader) prefix(e *entry) {
	b := r.take(5)
	e.prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), int(b[4]))
	single := e.kind >= entryClaimed
	if !e.prefix.IsValid() || e.prefix != e.prefix.Masked() || single != e.prefix.IsSingleIP() {
		r.check(fmt.Errorf("an entry of kind %d has the prefix %x, which cannot be", e.kind, b))
	}
}
