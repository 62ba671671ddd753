package neighbour

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meshnet/meshd/session"
)

var start = time.Unix(1e9, 0)

func named(container string) Neighbour { return Neighbour{Container: container, IfName: "eth0"} }

// names returns the containers of a node that ts shows, sorted.
func names(ts *Tables, node session.NodeID) []string {
	all := []string{}
	for _, n := range ts.All() {
		if n.Node == node {
			all = append(all, n.Container)
		}
	}
	slices.Sort(all)
	return all
}

// history makes n changes at an owner's and returns them, and the owner's tables.
func history(t *testing.T, epoch uint64, n int) ([]Update, *Tables) {
	t.Helper()
	ts := NewTables(start, owner(1), epoch)
	rng := rand.New(rand.NewPCG(epoch, 0))
	var all []Update
	for len(all) < n {
		var u Update
		name := fmt.Sprintf("c%d", rng.IntN(8))
		if rng.IntN(3) == 0 {
			u = ts.Withdraw(Key{name, "eth0"})
		} else {
			nb := named(name)
			nb.MAC[5] = byte(rng.IntN(256))
			var err error
			if u, err = ts.Upsert(nb); err != nil {
				t.Fatal(err)
			}
		}
		if len(u.Ops) > 0 {
			all = append(all, u)
		}
	}
	return all, ts
}

// Ops may arrive in any order and more than once: when all are there, the copy is the owner's table.
func TestApplyInAnyOrder(t *testing.T) {
	updates, mine := history(t, 1, 60)
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		shuffled := append(slices.Clone(updates), updates[:20]...)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		theirs := NewTables(start, owner(2), 1)
		for _, u := range shuffled {
			theirs.Apply(start, u)
		}
		if theirs.Behind(Mark{Owner: owner(1), Epoch: 1, Version: 60}) {
			t.Errorf("seed %d: behind after all ops", seed)
		}
		same(t, fmt.Sprint("seed ", seed), theirs, mine)
		if n := len(theirs.tables[owner(1)].entries); n != len(mine.tables[owner(1)].entries) {
			t.Errorf("seed %d: %d entries are kept, %d are needed", seed, n, len(mine.tables[owner(1)].entries))
		}
	}
}

// same compares the attachments of owner(1).
func same(t *testing.T, what string, got, want *Tables) {
	t.Helper()
	g, _ := got.Answer(start, Mark{Owner: owner(1)})
	w, _ := want.Answer(start, Mark{Owner: owner(1)})
	by := func(a, b Neighbour) int { return slices.Compare([]byte(a.Container), []byte(b.Container)) }
	slices.SortFunc(g.Entries, by)
	slices.SortFunc(w.Entries, by)
	if g.Epoch != w.Epoch || g.Version != w.Version || !slices.EqualFunc(g.Entries, w.Entries, Neighbour.Equal) {
		t.Errorf("%s: copy = %+v, want %+v", what, g, w)
	}
}

// A table fetched in the middle of gossip is right, whichever ops came before it and come after.
func TestReplaceAmongOps(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		updates, mine := history(t, 1, 40)
		middle := NewTables(start, owner(3), 1)
		cut := rng.IntN(len(updates))
		for _, u := range updates[:cut+1] {
			middle.Apply(start, u)
		}
		whole, ok := middle.Answer(start, Mark{Owner: owner(1)})
		if !ok {
			t.Fatal("no table to fetch")
		}
		theirs := NewTables(start, owner(2), 1)
		for i, u := range updates {
			if i > cut || rng.IntN(2) == 0 { // ops up to the cut may be lost
				theirs.Apply(start, u)
			}
			if i == len(updates)/2 {
				theirs.Replace(start, whole)
			}
		}
		theirs.Replace(start, whole)
		same(t, fmt.Sprint("seed ", seed), theirs, mine)
	}
}

func TestApplyOutcome(t *testing.T) {
	up := func(epoch, head uint64, versions ...uint64) Update {
		u := Update{Owner: owner(1), Epoch: epoch, Head: head}
		for _, v := range versions {
			n := named(fmt.Sprintf("c%d", v))
			n.Node = owner(1)
			u.Ops = append(u.Ops, Op{Version: v, Kind: OpUpsert, Neighbour: n})
		}
		return u
	}
	ts := NewTables(start, owner(2), 1)
	for _, step := range []struct {
		name  string
		u     Update
		want  Outcome
		shown []string
	}{
		{"first op", up(1, 1, 1), Outcome{Fresh: true, Changed: true}, []string{"c1"}},
		{"again", up(1, 1, 1), Outcome{}, []string{"c1"}},
		{"a gap", up(1, 3, 3), Outcome{Fresh: true, Changed: true, Behind: true}, []string{"c1", "c3"}},
		{"the gap filled", up(1, 2, 2), Outcome{Fresh: true, Changed: true}, []string{"c1", "c2", "c3"}},
		{"only news of more", up(1, 9), Outcome{Fresh: true, Behind: true}, []string{"c1", "c2", "c3"}},
		{"a new epoch shows the old entries on", up(2, 2, 2), Outcome{Fresh: true, Changed: true, Behind: true}, []string{"c1", "c2", "c3"}},
		{"the old epoch counts no more", up(1, 10, 10), Outcome{}, []string{"c1", "c2", "c3"}},
		{"until the new one is complete", up(2, 2, 1), Outcome{Fresh: true, Changed: true}, []string{"c1", "c2"}},
		{"an empty epoch", up(3, 0), Outcome{Fresh: true, Changed: true}, []string{}},
	} {
		if got := ts.Apply(start, step.u); got != step.want {
			t.Errorf("%s: Apply = %+v, want %+v", step.name, got, step.want)
		}
		if got := names(ts, owner(1)); !slices.Equal(got, step.shown) {
			t.Errorf("%s: shows %q, want %q", step.name, got, step.shown)
		}
	}
}

// A node's own table is changed by nobody else.
func TestOwnTableIsOwn(t *testing.T) {
	updates, mine := history(t, 1, 10)
	before := names(mine, owner(1))
	u := updates[0]
	u.Epoch, u.Head = 99, 99
	if got := mine.Apply(start, u); got != (Outcome{}) {
		t.Errorf("Apply to the own table = %+v, want nothing", got)
	}
	if mine.Replace(start, Table{Owner: owner(1), Epoch: 99, Version: 1}) || mine.Leave(start, owner(1), 99) {
		t.Error("Replace or Leave changed the own table")
	}
	c := mine.Compare(start, []Digest{{Owner: owner(1), Epoch: 99, Version: 99}, {Owner: owner(1), Epoch: 99, Left: true}})
	if len(c.Goals)+len(c.Left) > 0 || !slices.Equal(names(mine, owner(1)), before) {
		t.Errorf("Compare about the own table = %+v", c)
	}
}

func TestAnnounce(t *testing.T) {
	ts := NewTables(start, owner(1), 5)
	u, err := ts.Announce([]Neighbour{named("a"), named("b")})
	if err != nil || len(u.Ops) != 2 || u.Head != 2 || u.Epoch != 5 {
		t.Errorf("Announce = %+v, %v, want two ops of epoch 5", u, err)
	}
	u, err = ts.Announce([]Neighbour{named("b"), named("no good"), named("c")})
	if err == nil || len(u.Ops) != 2 || !slices.Equal(names(ts, owner(1)), []string{"b", "c"}) {
		t.Errorf("Announce = %+v, %v, want one more, one less and an error", u, err)
	}
}

// A table has at most MaxEntries attachments, and refuses more.
func TestFullTable(t *testing.T) {
	ts := NewTables(start, owner(1), 1)
	for i := range MaxEntries {
		if _, err := ts.Upsert(named(fmt.Sprintf("c%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ts.Upsert(named("one more")); err == nil {
		t.Error("Upsert into a full table error = <nil>")
	}
	table, ok := ts.Answer(start, Mark{Owner: owner(1)})
	theirs := NewTables(start, owner(2), 1)
	if !ok || !theirs.Replace(start, table) || len(theirs.All()) != MaxEntries {
		t.Errorf("a copy of a full table has %d entries, want %d", len(theirs.All()), MaxEntries)
	}
}

// "The table of an owner that left goes; that of one that vanished stays for Retention after it was last a member."
func TestDepartures(t *testing.T) {
	updates, mine := history(t, 4, 10)
	theirs := NewTables(start, owner(2), 1)
	for _, u := range updates {
		theirs.Apply(start, u)
	}
	if theirs.Sweep(start.Add(Retention - time.Second)); len(names(theirs, owner(1))) == 0 {
		t.Error("a dead owner's table went before Retention")
	}
	// A third node that learns of it late does not keep it longer.
	third := NewTables(start, owner(3), 1)
	late := start.Add(Retention - time.Hour)
	for _, mark := range third.Compare(late, theirs.Digests(late)).Goals {
		table, ok := theirs.Answer(late, third.Held(mark.Owner))
		if !ok || !third.Replace(late, table) {
			t.Errorf("fetching %v failed", mark)
		}
	}
	if got := third.Sweep(start.Add(Retention + time.Second)); !got || len(third.All()) != 0 {
		t.Error("the third node kept the table for longer")
	}
	if !theirs.Leave(start, owner(1), 4) || theirs.Leave(start, owner(1), 4) {
		t.Error("Leave = false, want news once")
	}
	if got := theirs.Apply(start, updates[9]); got.Fresh || len(theirs.All()) != 0 {
		t.Error("an op of an instance that left was taken in")
	}
	table, _ := mine.Answer(start, Mark{Owner: owner(1)})
	if theirs.Replace(start, table) {
		t.Error("a table of an instance that left was taken in")
	}
	if c := third.Compare(start, theirs.Digests(start)); len(c.Left) != 1 {
		t.Errorf("digests told of %v, want that one left", c.Left)
	}
	next := updates[0]
	next.Epoch = 5
	if got := theirs.Apply(start, next); !got.Fresh {
		t.Error("a later instance was not taken in")
	}
}
