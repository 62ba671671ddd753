package registry

import (
	"fmt"
	"testing"
)

// fill returns records in which 256 nodes own all but free of the blocks of a pool of 16,384.
func fill(tb testing.TB, free int) *world {
	w := newWorld(tb, pool("10.0.0.0/12"))
	const nodes = 256
	total := w.size()
	for i := range nodes {
		w.admitQuietly(fmt.Sprintf("n%d", i))
	}
	for i := range total - free {
		name := fmt.Sprintf("n%d", i%nodes)
		n := nodeRecord{id: node(name)}
		value, _ := w.records.Get(nodeKey(n.id))
		if err := decodeRecord(value, &n); err != nil {
			tb.Fatal(err)
		}
		c := as(name, Command{Op: OpClaim, Time: w.now})
		for _, u := range n.blocks {
			c.Have = append(c.Have, u.Block)
		}
		if r := Apply(w.records, c); r.Code != OK || len(r.Blocks) != 1 {
			tb.Fatalf("claim %d: %v", i, r.Err())
		}
	}
	return w
}

func (w *world) size() int {
	s, err := Load(w.records)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Pools[0].Blocks()
}

func (w *world) admitQuietly(name string) {
	if r := Apply(w.records, as(name, Command{Op: OpRefresh, Time: w.now})); r.Code != OK {
		w.t.Fatal(r.Err())
	}
}

// BenchmarkClaim claims one block of a pool of 16,384 by a new node.
func BenchmarkClaim(b *testing.B) {
	for _, free := range []int{16384, 8192, 1638, 164, 2, 0} {
		b.Run(fmt.Sprintf("free=%d", free), func(b *testing.B) {
			w := fill(b, free)
			w.admitQuietly("new")
			c := as("new", Command{Op: OpClaim, Time: w.now})
			b.ReportAllocs()
			for b.Loop() {
				Apply(NewOverlay(w.records), c)
			}
		})
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := fill(b, 8192)
	s, err := Load(w.records)
	if err != nil {
		b.Fatal(err)
	}
	c := as("n1", Command{Op: OpRefresh, Epoch: 1, Time: w.now})
	for p, owned := range s.Blocks {
		if owned.Owner == c.Node {
			c.Uses = append(c.Uses, BlockUse{Block: p, Leased: 40})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		Apply(NewOverlay(w.records), c)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	w := fill(b, 1)
	snapshot := w.records.Snapshot(nil)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(snapshot)))
		for b.Loop() {
			snapshot = w.records.Snapshot(snapshot[:0])
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(snapshot)))
		for b.Loop() {
			if _, err := Restore(snapshot); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := Load(w.records); err != nil {
				b.Fatal(err)
			}
		}
	})
}
