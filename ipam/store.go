package ipam

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxTries bounds the counter. One step is needed once in 10^19/leases attachments, so a run of them means that taken is wrong
// (RFC 7217 §6 gives up after IDGEN_RETRIES = 3).
const maxTries = 16

// ErrClosed is returned by a Store after Close.
var ErrClosed = errors.New("closed")

// ErrMACTaken is returned for a MAC address that is asked for and that another attachment has, or whose attachment has another.
var ErrMACTaken = errors.New("the MAC address cannot be had")

// Attachment is one interface of one container, unique on this node. An empty Container is the host itself.
type Attachment struct {
	Container string // at most 1,024 bytes
	IfName    string // 1 to 255 bytes
}

// String returns container/interface, as logs and errors name an attachment.
func (a Attachment) String() string { return a.Container + "/" + a.IfName }

func (a Attachment) compare(b Attachment) int {
	return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.IfName, b.IfName))
}

func (a Attachment) check() error {
	switch {
	case len(a.Container) > maxContainer:
		return fmt.Errorf("the container's name has %d bytes, at most %d are allowed", len(a.Container), maxContainer)
	case a.IfName == "":
		return errors.New("the interface has no name")
	case len(a.IfName) > maxIfName:
		return fmt.Errorf("the interface's name has %d bytes, at most %d are allowed", len(a.IfName), maxIfName)
	}
	return nil
}

// Holder is who made an attachment and where its interface is. Addresses do not depend on it. Comparable with ==.
type Holder struct {
	Source string // "cni", "lxc" or "manual": at most 16 bytes of printable ASCII; empty if unknown
	NetNS  string // path of the container's network namespace as the caller named it, at most 4,096 bytes; may be empty

	Config  string // what the runtime calls the network that it has configured (CNI's "name"), at most 255 bytes; may be empty
	Aliases string // other names of the container, with a space between each two; at most 2,048 bytes
}

func (h Holder) check() error {
	switch {
	case len(h.Source) > maxSource:
		return fmt.Errorf("the holder's source has %d bytes, at most %d are allowed", len(h.Source), maxSource)
	case strings.ContainsFunc(h.Source, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("the holder's source %q is not printable", h.Source)
	case len(h.NetNS) > maxNetNS:
		return fmt.Errorf("the path of the holder's namespace has %d bytes, at most %d are allowed", len(h.NetNS), maxNetNS)
	case len(h.Config) > maxConfig:
		return fmt.Errorf("the name of the holder's configuration has %d bytes, at most %d are allowed", len(h.Config), maxConfig)
	case len(h.Aliases) > maxAliases:
		return fmt.Errorf("the holder's aliases have %d bytes, at most %d are allowed", len(h.Aliases), maxAliases)
	}
	return nil
}

// bare returns h without what an entryLabels has of it.
func (h Holder) bare() Holder { return Holder{Source: h.Source, NetNS: h.NetNS} }

// Lease is what an attachment holds until it is released. Comparable with ==.
type Lease struct {
	Attachment
	Holder  Holder // the last one that asked
	MAC     MAC
	IPv6    netip.Addr // in Subnet(Config.Prefix)
	IPv4    netip.Addr // zero: none
	Bits    int        // prefix length of IPv4's pool
	Lost    bool       // IPv4 is no longer this node's: another may have it; the next Lease replaces it
	Created time.Time  // UTC, without a monotonic reading; neither a new holder nor a new IPv4 address changes it
}

// String returns attachment, addresses, MAC and holder.
func (l Lease) String() string {
	v4 := ""
	if l.IPv4.IsValid() {
		v4 = " " + l.IPv4Prefix().String()
	}
	if l.Lost {
		v4 += " (lost)"
	}
	return fmt.Sprintf("%v %v%s %v %v", l.Attachment, l.IPv6, v4, l.MAC, l.Holder)
}

// IPv4Prefix returns the IPv4 address with its pool's prefix length, as an interface is given it; the zero Prefix if there is none.
func (l Lease) IPv4Prefix() netip.Prefix {
	if !l.IPv4.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(l.IPv4, l.Bits)
}

// Config says whose leases a Store keeps. The journal is bound to NetworkID, Node and the subnet of Prefix.
type Config struct {
	NetworkID [16]byte
	Node      [32]byte     // the node's static public key
	Key       [32]byte     // AddressKey of the network's PSK
	Prefix    netip.Prefix // /48 to /64, its first /64 is used; the zero Prefix is ULA(NetworkID)

	// Cooldown is how long an IPv4 address is kept from other attachments after its release. 0 is a minute, negative none.
	Cooldown time.Duration
	// Boot names this start of the kernel, as /proc/sys/kernel/random/boot_id does. A journal that another start wrote may be
	// from a snapshot: then no IPv4 address is leased anew before the block store has answered. At most 64 bytes.
	Boot string

	Log *slog.Logger // nil discards
}

// Store keeps the leases of one node in one network. Its methods are safe for concurrent use.
type Store struct {
	scope scope
	dir   directory

	writing sync.Mutex // held while the journal is written; locked before mu
	journal *journal   // guarded by writing
	held    *table     // what is on disk; changed with both mutexes held, read with either

	mu     sync.Mutex
	closed bool
	queue  []*batch // not yet being written
	// pending is the change of an attachment that is on its way to the disk, at most one each. iids and macs are what the
	// leases among them will hold.
	pending map[Attachment]*batch
	iids    map[uint64]bool
	macs    map[MAC]bool
	addrs   map[netip.Addr]bool
	// doubt is why it is unknown whether an attachment has on disk what it has here. Such a lease is nobody's answer.
	doubt map[Attachment]error

	v4gate // guarded by mu
}

// Open reads the leases in directory dir, which it makes if need be, and holds its lock until Close. The error wraps
// ErrLocked, ErrCorrupt or ErrForeign, or is the operating system's.
func Open(dir string, c Config) (*Store, error) {
	if c.Prefix == (netip.Prefix{}) {
		c.Prefix = ULA(c.NetworkID)
	}
	if err := CheckPrefix(c.Prefix); err != nil {
		return nil, err
	}
	if len(c.Boot) > maxBoot {
		return nil, fmt.Errorf("the boot ID has %d bytes, at most %d are allowed", len(c.Boot), maxBoot)
	}
	d, err := openDirectory(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the leases: %w", err)
	}
	s, err := open(d, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the leases: %w", err), d.close())
	}
	return s, nil
}

func open(d directory, c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	subnet := Subnet(c.Prefix)
	addr := subnet.Addr().As16()
	j, t, err := openJournal(d, header{c.NetworkID, c.Node, [8]byte(addr[:])}, c.Log)
	if err != nil {
		return nil, err
	}
	gate := newGate(&c, t.v4)
	gate.clock.floor = t.latest
	return &Store{
		scope:   scope{c.Key, c.NetworkID, c.Node, subnet},
		dir:     d,
		journal: j,
		held:    t,
		pending: map[Attachment]*batch{},
		iids:    map[uint64]bool{},
		macs:    map[MAC]bool{},
		addrs:   map[netip.Addr]bool{},
		doubt:   map[Attachment]error{},
		v4gate:  gate,
	}, nil
}

// Lease returns the lease of an attachment, and gives it one if it has none. If it has one with another holder, as a container
// that was restarted has another namespace, the lease gets the new one and is otherwise as before; if it lacks the IPv4 address
// that is asked for, or has lost it, it gets one. Each change is on disk when Lease returns; if there is none, nothing is
// written. taken reports whether another attachment is known to hold the IPv6 address or the MAC; it may be nil, is called with
// the store locked, and must neither wait nor call the store.
//
// After an error the attachment has what it had before. The error wraps ErrNoAddress if this node has no IPv4 address to give
// now, registry.ErrTaken, ErrOutside, ErrUnusable or ErrReserved if the one that is asked for cannot be had, ErrMACTaken, ErrFailed if
// nothing can be leased until restart, or else is the operating system's (syscall.ENOSPC) and a later call may succeed.
func (s *Store) Lease(now time.Time, r Request, taken func(netip.Addr, MAC) bool) (Lease, error) {
	if err := errors.Join(r.Attachment.check(), r.Holder.check(), r.IPv4.check(), r.MAC.check()); err != nil {
		return Lease{}, fmt.Errorf("leasing: %w", err)
	}
	for {
		l, b, own, err := s.startLease(now, r, taken)
		if err == nil && b != nil {
			err = s.commit(b)
		}
		if err != nil && (own || b == nil) { // the failure of another caller's change is theirs
			return Lease{}, fmt.Errorf("leasing for %v: %w", r.Attachment, err)
		}
		if own || b == nil { // not asked again if own: two holders that ask at once would take turns
			return l, nil
		}
	}
}

// startLease returns the lease as r asks for it if it is on disk, else the batch to wait for. own is true if that batch makes
// this caller's change, and l is then the lease after it; otherwise the caller asks again.
func (s *Store) startLease(now time.Time, r Request, taken func(netip.Addr, MAC) bool) (
	l Lease, b *batch, own bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := r.Attachment
	if b := s.pending[a]; b != nil {
		return Lease{}, b, false, nil
	}
	if err := s.doubt[a]; err != nil {
		return Lease{}, nil, false, err
	}
	l, held := s.held.leases[a]
	wants := !r.IPv4.None && (!l.IPv4.IsValid() || l.Lost)
	switch {
	case held && r.MAC != (MAC{}) && l.MAC != r.MAC:
		return Lease{}, nil, false, fmt.Errorf("%w: it has %v and asks for %v; detach it first", ErrMACTaken, l.MAC, r.MAC)
	case l.IPv4.IsValid() && !l.Lost && r.IPv4.Addr.IsValid() && l.IPv4 != r.IPv4.Addr:
		return Lease{}, nil, false, fmt.Errorf("it holds %v and asks for %v; detach it first", l.IPv4, r.IPv4.Addr)
	case held && !wants && l.Holder == r.Holder:
		return l, nil, false, nil
	case s.closed:
		return Lease{}, nil, false, ErrClosed
	case wants && s.changing != nil: // what this node owns is about to be another
		return Lease{}, s.changing, false, nil
	}
	at := now.UnixNano()
	var entries []entry
	if !held {
		iid, mac, err := s.choose(a, r.MAC, taken)
		if err != nil {
			return Lease{}, nil, false, err
		}
		l = Lease{Attachment: a, MAC: mac, IPv6: join(s.scope.subnet, iid), Created: time.Unix(0, at).UTC()}
		entries = append(entries, entry{kind: entryLease, iid: iid, at: at})
	} else if l.Holder != r.Holder {
		entries = append(entries, entry{kind: entryHolder, at: at})
	}
	if l.Holder != r.Holder && (r.Holder.Config != "" || r.Holder.Aliases != "") {
		entries = append(entries, entry{kind: entryLabels, at: at})
	}
	l.Holder = r.Holder
	if wants {
		if l.IPv4, l.Bits, err = s.pick(now, a, r.IPv4); err != nil {
			return Lease{}, nil, false, err
		}
		l.Lost = false
		if held {
			entries = append(entries, entry{kind: entryAddress, at: s.clock.read(now)})
		}
	}
	for i := range entries {
		entries[i].lease = l.part(entries[i].kind)
	}
	return l, s.add(entries...), true, nil
}

// part returns what an entry of that kind has of l.
func (l Lease) part(kind byte) Lease {
	p := Lease{Attachment: l.Attachment}
	switch kind {
	case entryLease:
		p = l
		p.Holder = l.Holder.bare()
	case entryHolder:
		p.Holder = l.Holder.bare()
	case entryLabels:
		p.Holder.Config, p.Holder.Aliases = l.Holder.Config, l.Holder.Aliases
	case entryAddress:
		p.IPv4, p.Bits = l.IPv4, l.Bits
	}
	return p
}

// choose derives identifier and MAC of a with the first counter whose result is free. A MAC that is asked for, want, is not
// derived, and ErrMACTaken if it is not free.
func (s *Store) choose(a Attachment, want MAC, taken func(netip.Addr, MAC) bool) (uint64, MAC, error) {
	if want != (MAC{}) && (want == GatewayMAC(s.scope.network) || s.hasMAC(want) || taken != nil && taken(netip.Addr{}, want)) {
		return 0, MAC{}, fmt.Errorf("%w: %v", ErrMACTaken, want)
	}
	for counter := range uint32(maxTries) {
		iid, mac, ok := s.scope.derive(a, counter)
		if want != (MAC{}) {
			mac = want
		} else if s.hasMAC(mac) {
			continue
		}
		if !ok || s.iids[iid] {
			continue
		}
		if _, ok := s.held.iids[iid]; ok {
			continue
		}
		if taken == nil || !taken(join(s.scope.subnet, iid), mac) {
			return iid, mac, nil
		}
	}
	return 0, MAC{}, fmt.Errorf("the first %d addresses derived for it are all taken", maxTries)
}

// hasMAC says whether a lease has mac, or will have it. s.mu is held.
// FirstMAC returns the MAC that follows from an attachment's names, which it gets unless somebody else has it.
func (s *Store) FirstMAC(a Attachment) MAC {
	for counter := range uint32(maxTries) {
		if _, mac, ok := s.scope.derive(a, counter); ok {
			return mac
		}
	}
	return MAC{}
}

func (s *Store) hasMAC(mac MAC) bool {
	_, held := s.held.macs[mac]
	return held || s.macs[mac]
}

// Release ends the lease of a, durably when it returns, and reports whether there was one. After an error the lease stands.
func (s *Store) Release(now time.Time, a Attachment) (bool, error) {
	for {
		b, own, err := s.startRelease(now, a)
		if err == nil && b != nil {
			err = s.commit(b)
		}
		if err != nil && (own || b == nil) {
			return false, fmt.Errorf("releasing %v: %w", a, err)
		}
		if own || b == nil {
			return own, nil
		}
	}
}

// startRelease returns the batch to wait for, nil if a has no lease; own is true if that batch releases a for this caller.
func (s *Store) startRelease(now time.Time, a Attachment) (b *batch, own bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.pending[a]; b != nil {
		return b, false, nil
	}
	if _, ok := s.held.leases[a]; !ok {
		return nil, false, nil
	}
	if s.closed {
		return nil, false, ErrClosed
	}
	return s.add(entry{kind: entryRelease, lease: Lease{Attachment: a}, at: s.clock.read(now)}), true, nil
}

// Leases returns all leases, by container and then by interface.
func (s *Store) Leases() []Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	leases := make([]Lease, 0, len(s.held.leases))
	for _, l := range s.held.leases {
		leases = append(leases, l)
	}
	slices.SortFunc(leases, func(a, b Lease) int { return a.compare(b.Attachment) })
	return leases
}

// Close waits for the changes under way and gives up the lock. Later changes return ErrClosed; what was on disk can still be
// read.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	for s.queued() {
		s.writeFirst()
	}
	return errors.Join(s.journal.close(), s.dir.close())
}

func (s *Store) queued() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}
