package registry

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The records. Each value begins with recordVersion; the fields follow as the layouts below say.
//
//	registry                what was decided once, and the pools
//	clock                   the time of the last command that changed something
//	node/<64 hex digits>    one node, and the index of what it owns
//	block/10.77.0.64/26     one block that was ever owned or claimed from
const (
	recordVersion = 1
	registryKey   = "registry"
	clockKey      = "clock"
	nodeTable     = "node/"
	blockTable    = "block/"
)

// age is time for which the registry was in use, in whole seconds since it was made.
type age = time.Duration

type record interface{ layout(*coder) }

type registryRecord struct {
	id         ID
	creator    NodeID
	createdAt  time.Time
	generation uint64
	recovering bool
	recovered  age // when the generation was raised last
	timing     Timing
	pools      []Pool
	reserved   []Reservation
}

func (r *registryRecord) layout(c *coder) {
	c.bytes(r.id[:])
	c.nodeID(&r.creator)
	c.time(&r.createdAt)
	c.uint(&r.generation)
	c.bool(&r.recovering)
	c.duration(&r.recovered)
	c.timing(&r.timing)
	list(c, &r.pools, MaxPools, c.pool)
	list(c, &r.reserved, maxReserved, c.reservation)
}

// clockRecord relates the two times: at now, as the command said that changed something last, the registry had been in use for age.
type clockRecord struct {
	now time.Time
	age age
}

func (r *clockRecord) layout(c *coder) {
	c.time(&r.now)
	c.duration(&r.age)
}

// advance returns the clock after a command that is stamped with now. Of commands that are stamped by clocks a little apart, the later time counts. A larger
// step, to either side, is a gap or a clock that was set: it counts for nothing, and time goes on from there.
func (r clockRecord) advance(now time.Time) clockRecord {
	now = now.UTC().Truncate(time.Second)
	step := now.Sub(r.now)
	switch {
	case step > MaxStep || step < -MaxStep:
		return clockRecord{now: now, age: r.age}
	case step > 0:
		return clockRecord{now: now, age: r.age + step}
	}
	return r
}

type nodeRecord struct {
	id         NodeID // from the key
	name       string
	instance   uint64
	epoch      uint64
	seq        uint64
	generation uint64
	journal    uint64
	refreshed  time.Time
	heard      age // when refreshed
	removed    bool
	reason     string
	ended      []endedEpoch // those whose grace may not be over
	blocks     []BlockUse   // owned under epoch, in the order of their addresses
	claims     []netip.Addr // held under epoch, in the order of their addresses
}

type endedEpoch struct {
	epoch uint64
	at    age
}

func (r *nodeRecord) layout(c *coder) {
	c.text(&r.name, MaxText)
	c.uint(&r.instance)
	c.uint(&r.epoch)
	c.uint(&r.seq)
	c.uint(&r.generation)
	c.uint(&r.journal)
	c.time(&r.refreshed)
	c.duration(&r.heard)
	c.bool(&r.removed)
	c.text(&r.reason, MaxText)
	list(c, &r.ended, maxList, func(e *endedEpoch) {
		c.uint(&e.epoch)
		c.duration(&e.at)
	})
	list(c, &r.blocks, maxList, c.blockUse)
	list(c, &r.claims, maxList, c.addr)
}

// owns says whether what is recorded under epoch is the node's.
func (r *nodeRecord) owns(epoch uint64) bool { return !r.removed && r.epoch == epoch }

// freeAt returns when what was owned under an ended epoch is free.
func (r *nodeRecord) freeAt(epoch uint64, grace time.Duration) age {
	for _, e := range r.ended {
		if e.epoch == epoch {
			return e.at + grace
		}
	}
	return 0 // ended long ago
}

// end ends the present epoch at now; ends that are past their grace are forgotten.
func (r *nodeRecord) end(now age, grace time.Duration) {
	r.ended = slices.DeleteFunc(r.ended, func(e endedEpoch) bool { return e.at+grace <= now })
	r.ended = append(r.ended, endedEpoch{epoch: r.epoch, at: now})
	r.blocks, r.claims = nil, nil
}

func (r *nodeRecord) findBlock(b netip.Prefix) (int, bool) {
	return slices.BinarySearchFunc(r.blocks, b, func(u BlockUse, b netip.Prefix) int { return u.Block.Addr().Compare(b.Addr()) })
}

func (r *nodeRecord) addBlock(b netip.Prefix) {
	if i, ok := r.findBlock(b); !ok {
		r.blocks = slices.Insert(r.blocks, i, BlockUse{Block: b})
	}
}

func (r *nodeRecord) dropBlock(b netip.Prefix) {
	if i, ok := r.findBlock(b); ok {
		r.blocks = slices.Delete(r.blocks, i, i+1)
	}
}

func (r *nodeRecord) addClaim(a netip.Addr) {
	if i, ok := slices.BinarySearchFunc(r.claims, a, netip.Addr.Compare); !ok {
		r.claims = slices.Insert(r.claims, i, a)
	}
}

func (r *nodeRecord) dropClaim(a netip.Addr) {
	if i, ok := slices.BinarySearchFunc(r.claims, a, netip.Addr.Compare); ok {
		r.claims = slices.Delete(r.claims, i, i+1)
	}
}

// holding says whose a block or address is: owner's while it owns under epoch, unless it was given back; then it is free from
// cool on, which is never 0.
type holding struct {
	owner NodeID
	epoch uint64
	cool  age
}

func (h *holding) layout(c *coder) {
	c.nodeID(&h.owner)
	c.uint(&h.epoch)
	c.duration(&h.cool)
}

type blockRecord struct {
	block netip.Prefix // from the key
	holding
	since  time.Time
	claims []claimRecord // in the order of their addresses
}

type claimRecord struct {
	addr       netip.Addr
	attachment string
	holding
}

func (r *blockRecord) layout(c *coder) {
	r.holding.layout(c)
	c.time(&r.since)
	list(c, &r.claims, maxList, func(k *claimRecord) {
		c.addr(&k.addr)
		c.text(&k.attachment, MaxText)
		k.holding.layout(c)
	})
}

func (r *blockRecord) findClaim(a netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(r.claims, a, func(k claimRecord, a netip.Addr) int { return k.addr.Compare(a) })
}

func nodeKey(id NodeID) string {
	b := make([]byte, 0, len(nodeTable)+2*len(id))
	return string(hex.AppendEncode(append(b, nodeTable...), id[:]))
}

func blockKey(b netip.Prefix) string {
	return string(b.AppendTo(append(make([]byte, 0, 32), blockTable...)))
}

// decodeHolding returns whose a block is, of the value of its record, and leaves the rest alone.
func decodeHolding(value []byte) (holding, error) {
	c := coder{buf: value, parse: true}
	var version byte
	var h holding
	c.byte(&version)
	if c.err == nil && version != recordVersion {
		return h, fmt.Errorf("version %d, this program knows %d: update it", version, recordVersion)
	}
	h.layout(&c)
	return h, c.err
}

func parseNodeKey(key string) (id NodeID, err error) {
	if err = id.UnmarshalText([]byte(key[len(nodeTable):])); err == nil && nodeKey(id) != key {
		err = fmt.Errorf("not in its usual form")
	}
	return id, err
}

func parseBlockKey(key string) (netip.Prefix, error) {
	b, err := netip.ParsePrefix(key[len(blockTable):])
	if err == nil && (blockKey(b) != key || b != b.Masked() || !b.Addr().Is4()) {
		err = fmt.Errorf("not in its usual form")
	}
	return b, err
}

func encodeRecord(r record) ([]byte, error) {
	c := &coder{}
	version := byte(recordVersion)
	c.byte(&version)
	r.layout(c)
	return c.buf, c.end()
}

func decodeRecord(value []byte, r record) error {
	c := &coder{buf: value, parse: true}
	var version byte
	c.byte(&version)
	if c.err == nil && version != recordVersion {
		return fmt.Errorf("version %d, this program knows %d: update it", version, recordVersion)
	}
	r.layout(c)
	return c.end()
}
