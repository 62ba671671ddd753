package registry

import (
	"maps"
	"slices"
	"testing"
)

// An engine that commits by comparing compares few keys, however full the pool is: what was passed over does not count.
func TestOverlayDependsOnLittle(t *testing.T) {
	w := newWorld(t, pool("10.77.0.0/16"))
	w.admit("a", "b", "c")
	have := []BlockUse{}
	for range 1000 {
		c := as("a", Command{Op: OpClaim, Time: w.now})
		for _, u := range have {
			c.Have = append(c.Have, u.Block)
		}
		r := Apply(w.records, c)
		if r.Code != OK {
			t.Fatal(r.Err())
		}
		have = append(have, BlockUse{Block: r.Blocks[0].Block})
	}
	for _, c := range []Command{
		as("b", Command{Op: OpClaim}),
		as("a", Command{Op: OpRefresh, Epoch: 1, Uses: have}),
		as("a", Command{Op: OpReleaseBlock, Block: have[0].Block}),
		as("a", Command{Op: OpCarveOut, Addr: have[1].Block.Addr().Next().Next(), To: node("b"), ToEpoch: 1}),
		{Op: OpRemoveNode, To: node("a")},
		{Op: OpExpireNodes},
		{Op: OpReserve, Range: Reservation{First: addr("10.77.0.0"), Last: addr("10.77.255.255")}},
		{Op: OpRecover, Generation: 2},
	} {
		c.Time = w.now.Add(MaxStep)
		o := NewOverlay(w.records)
		if r := Apply(o, c); r.Code != OK {
			t.Errorf("%v: %v", c.Op, r.Err())
		}
		const most = 8
		if n := len(o.Keys()); n > most {
			t.Errorf("%v depends on %d records, want %d at most: %v", c.Op, n, most, o.Keys())
		}
		for key := range o.Writes() {
			if !slices.Contains(o.Keys(), key) {
				t.Errorf("%v writes %s and does not compare it", c.Op, key)
			}
		}
	}
}

// Overlay.Range "merges base and writes".
func TestOverlayRange(t *testing.T) {
	base := &Map{}
	for _, key := range []string{"t/b", "t/d", "u/x"} {
		base.Put(key, []byte("old"))
	}
	o := NewOverlay(base)
	for _, key := range []string{"t/a", "t/b", "t/e", "v/x"} {
		o.Put(key, []byte("new"))
	}
	var got []string
	for key, value := range o.Range("t/") {
		got = append(got, key+"="+string(value))
	}
	if want := []string{"t/a=new", "t/b=new", "t/d=old", "t/e=new"}; !slices.Equal(got, want) {
		t.Errorf("Range = %v, want %v", got, want)
	}
	for key := range o.Range("t/") { // stopping early
		if key == "t/b" {
			break
		}
	}
	if reads := o.Reads(); len(reads) != 0 {
		t.Errorf("Range counts as reading %v", reads)
	}
	if v, _ := base.Get("t/b"); string(v) != "old" {
		t.Error("the overlay changed its base")
	}
	if n := len(maps.Collect(base.All())); n != 3 {
		t.Errorf("base has %d records, want 3", n)
	}
}
