package registry

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a registry under test and its clock.
type world struct {
	t       testing.TB
	records *Map
	now     time.Time
	oracle  *oracle
}

func newWorld(t testing.TB, pools ...Pool) *world {
	t.Helper()
	w := &world{t: t, records: &Map{}, now: start, oracle: newOracle()}
	if len(pools) > 0 {
		w.ok(Command{Op: OpInit, Registry: ID{1}, Node: node("a"), Pools: pools})
	}
	return w
}

func node(name string) NodeID {
	var id NodeID
	copy(id[:], name)
	return id
}

func pool(s string) Pool { return Pool{Prefix: netip.MustParsePrefix(s)} }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func block(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// do applies c, and holds it to what is promised for every command: it survives its encoding, an engine that commits by
// comparing comes to the same records, a repeat changes nothing, a refused command writes nothing, and what results is
// sound.
func (w *world) do(c Command) Result {
	w.t.Helper()
	c.Time = w.now
	before, twin := w.records.Snapshot(nil), w.records.Clone()
	r := Apply(w.records, c)
	after := w.records.Snapshot(nil)

	encoded, err := c.Append(nil)
	if err != nil {
		w.t.Fatalf("Append of %v: %v", c.Op, err)
	}
	parsed, err := ParseCommand(encoded)
	if err != nil {
		w.t.Fatalf("ParseCommand of %v: %v", c.Op, err)
	}
	overlay := NewOverlay(twin)
	if r2 := Apply(overlay, parsed); !reflect.DeepEqual(r, r2) {
		w.t.Fatalf("%v on an overlay = %+v, want %+v", c.Op, r2, r)
	}
	for key, value := range overlay.Writes() {
		twin.Put(key, value)
	}
	if !bytes.Equal(twin.Snapshot(nil), after) {
		w.t.Fatalf("%v on an overlay writes other records", c.Op)
	}
	if r.Code != OK && !bytes.Equal(before, after) {
		w.t.Fatalf("%v was refused (%v) and wrote", c.Op, r.Code)
	}
	w.repeat(c, r, after)
	w.roundTrip(r)
	w.sound(c)
	w.oracle.saw(w.t, c, r)
	return r
}

// repeat: "Each command may be applied more than once in a row and has the same effect as once".
func (w *world) repeat(c Command, r Result, after []byte) {
	w.t.Helper()
	r2 := Apply(w.records, c)
	if r2.Code != r.Code && c.Op != OpUnreserve {
		w.t.Fatalf("%v the second time = %v, want %v", c.Op, r2.Code, r.Code)
	}
	if !reflect.DeepEqual(r.Blocks, r2.Blocks) || !reflect.DeepEqual(r.Claims, r2.Claims) || r.Epoch != r2.Epoch {
		w.t.Fatalf("%v the second time = %+v, want %+v", c.Op, r2, r)
	}
	if !bytes.Equal(w.records.Snapshot(nil), after) {
		w.t.Fatalf("%v changed the records when it was applied a second time", c.Op)
	}
}

func (w *world) roundTrip(r Result) {
	w.t.Helper()
	b := r.Append(nil)
	parsed, err := ParseResult(b)
	if err != nil {
		w.t.Fatalf("ParseResult: %v", err)
	}
	if !bytes.Equal(parsed.Append(nil), b) || parsed.Code != r.Code {
		w.t.Fatalf("result %+v comes back as %+v", r, parsed)
	}
}

func (w *world) sound(c Command) {
	w.t.Helper()
	if w.records.Len() == 0 {
		return
	}
	s, err := Load(w.records)
	if err != nil {
		w.t.Fatalf("Load after %v: %v", c.Op, err)
	}
	for _, v := range Check(s) {
		w.t.Errorf("after %v: %v: %v", c.Op, v.Rule, v)
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func (w *world) ok(c Command) Result {
	w.t.Helper()
	r := w.do(c)
	if err := r.Err(); err != nil {
		w.t.Fatalf("%v: %v", c.Op, err)
	}
	return r
}

// as returns c as node name sends it in its first start, under its first epoch and generation.
func as(name string, c Command) Command {
	c.Node = node(name)
	if c.Instance == 0 {
		c.Instance = 1
	}
	if c.Epoch == 0 && c.Op != OpRefresh {
		c.Epoch = 1
	}
	if c.Generation == 0 {
		c.Generation = 1
	}
	if c.Op == OpRefresh {
		c.Name = name
	}
	return c
}

// admit lets nodes in.
func (w *world) admit(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.ok(as(name, Command{Op: OpRefresh}))
	}
}

// own has node name claim one more block than have, and returns it.
func (w *world) own(name string, have ...netip.Prefix) netip.Prefix {
	w.t.Helper()
	r := w.ok(as(name, Command{Op: OpClaim, Have: have}))
	if len(r.Blocks) != 1 {
		w.t.Fatalf("claim of %s gave %v, want one block", name, r.Blocks)
	}
	return r.Blocks[0].Block
}

// pass lets time go by in steps that all count.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= MaxStep {
		w.now = w.now.Add(min(d, MaxStep))
		w.ok(Command{Op: OpExpireNodes})
	}
}
