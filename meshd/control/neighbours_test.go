package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/control/neighbour"
	"meshnet/meshd/wire"
)

// haveAll says whether all nodes know exactly these containers.
func haveAll(nodes []*testNode, want ...string) func() bool {
	slices.Sort(want)
	return func() bool {
		for _, n := range nodes {
			if !slices.Equal(n.containers(), want) {
				return false
			}
		}
		return true
	}
}

// startTable starts nodes that are members of each other.
func startTable(t *testing.T, net *testNetwork, size int) []*testNode {
	t.Helper()
	nodes := net.startMany(size)
	for _, n := range nodes[1:] {
		net.connect(n, nodes[0].id)
	}
	within(t, 20*time.Second, "all alive", allAlive(nodes))
	return nodes
}

// What a node upserts or withdraws, every node sees.
func TestUpsertAndWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		net.loss = 0.05
		nodes := startTable(t, net, 8)
		if err := nodes[0].Upsert(attachment("web", 1)); err != nil {
			t.Fatal(err)
		}
		if err := nodes[5].Upsert(attachment("db", 2)); err != nil {
			t.Fatal(err)
		}
		took := within(t, 5*time.Second, "both known", haveAll(nodes, "n00/web", "n05/db"))
		t.Logf("upserts took %v", took)
		changed := attachment("web", 1)
		changed.MAC[5] = 99
		if err := nodes[0].Upsert(changed); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "changed", func() bool {
			return slices.ContainsFunc(nodes[7].Neighbours(), func(n Neighbour) bool { return n.MAC[5] == 99 })
		})
		nodes[5].Withdraw("db", "eth0")
		nodes[5].Withdraw("db", "eth0") // a second time does nothing
		within(t, 5*time.Second, "withdrawn", haveAll(nodes, "n00/web"))
		if err := nodes[0].Upsert(Neighbour{Container: "bad name", IfName: "eth0"}); !errors.Is(err, neighbour.ErrInvalid) {
			t.Errorf("Upsert of a bad name error = %v, want ErrInvalid", err)
		}
	})
}

// A burst arrives whole, in whatever order gossip brings it.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		net.loss = 0.05
		nodes := startTable(t, net, 5)
		var want []string
		for i := range 100 {
			if err := nodes[1].Upsert(attachment(fmt.Sprintf("c%d", i), byte(i))); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("n01/c%d", i))
		}
		took := within(t, 20*time.Second, "all known", haveAll(nodes, want...))
		t.Logf("took %v", took)
	})
}

// A node that missed gossip fetches the whole table over a stream.
func TestGapIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := startTable(t, net, 4)
		net.setDrop(func(_, to *testNode, typ wire.Type) bool { return to == nodes[3] && typ == wire.TypeGossip })
		var want []string
		for i := range 500 {
			if err := nodes[0].Upsert(attachment(fmt.Sprintf("c%d", i), byte(i))); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("n00/c%d", i))
		}
		within(t, 15*time.Second, "known to who hears gossip", haveAll(nodes[:3], want...))
		net.setDrop(nil)
		if err := nodes[0].Upsert(attachment("last", 1)); err != nil {
			t.Fatal(err)
		}
		want = append(want, "n00/last")
		took := within(t, 10*time.Second, "fetched", haveAll(nodes, want...))
		t.Logf("fetched after %v", took)
		if nodes[3].Counters()["fetches"] == 0 {
			t.Error("nothing was fetched")
		}
	})
}

// Push/pull brings what gossip never did, also when there is no newer op to show the gap.
func TestPushPullRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := startTable(t, net, 3)
		net.setDrop(func(_, to *testNode, typ wire.Type) bool { return typ == wire.TypeGossip && to == nodes[2] })
		if err := nodes[0].Upsert(attachment("web", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		net.setDrop(nil)
		took := within(t, 3*time.Minute, "repaired", haveAll(nodes, "n00/web"))
		t.Logf("repaired after %v", took)
	})
}

// A newcomer learns all tables when it joins: also that of a member that is dead.
func TestNewcomerLearnsTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := startTable(t, net, 3)
		for i, n := range nodes {
			if err := n.Upsert(attachment(fmt.Sprintf("c%d", i), byte(i))); err != nil {
				t.Fatal(err)
			}
		}
		within(t, 5*time.Second, "all known", haveAll(nodes, "n00/c0", "n01/c1", "n02/c2"))
		net.stop(nodes[2])
		time.Sleep(10 * time.Minute)
		late := net.start("late", 5, attachment("mine", 9))
		net.connect(late, nodes[1].id)
		rest := append(nodes[:2:2], late)
		within(t, 10*time.Second, "all known", haveAll(rest, "n00/c0", "n01/c1", "n02/c2", "late/mine"))
	})
}

// A restart replaces the table of the instance before, without a moment in which what is in both is missing.
func TestRestartReplacesTable(t *testing.T) {
	for _, size := range []int{3, 300} { // announced by gossip, and to be fetched
		synctest.Test(t, func(t *testing.T) {
			net := newTestNetwork(t, 1)
			nodes := net.startMany(2)
			old := []Neighbour{attachment("gone", 200)}
			var kept []Neighbour
			want := []string{}
			for i := range size {
				kept = append(kept, attachment(fmt.Sprintf("c%d", i), byte(i)))
				want = append(want, fmt.Sprintf("x/c%d", i))
			}
			x := net.start("x", 1, append(old, kept...)...)
			net.connect(nodes[1], nodes[0].id)
			net.connect(x, nodes[0].id)
			within(t, 20*time.Second, "first table", haveAll(nodes, append(want, "x/gone")...))
			net.stop(x)
			x = net.start("x", 2, kept...)
			net.connect(x, nodes[0].id)
			within(t, 20*time.Second, "second table", func() bool {
				for _, n := range nodes {
					if got := len(n.containers()); got < size {
						t.Fatalf("%s shows %d containers, %d are there all the time", n.name, got, size)
					}
				}
				return haveAll(append(nodes, x), want...)()
			})
		})
	}
}

// Whatever a member sends, nobody falls over.
func FuzzHandle(f *testing.F) {
	web := attachment("web", 1)
	web.Node = testID("b")
	update := neighbour.Update{Owner: testID("b"), Epoch: 1, Head: 1,
		Ops: []neighbour.Op{{Version: 1, Kind: neighbour.OpUpsert, Neighbour: web}}}.Append([]byte{typeUser})
	f.Add(uint8(wire.TypeGossip), update)
	f.Add(uint8(wire.TypeGossip), neighbour.Left{Owner: testID("b"), Epoch: 1}.Append([]byte{typeUser}))
	f.Add(uint8(wire.TypeGossip), append([]byte{typeCompound, 1, 0, byte(len(update))}, update...))
	f.Add(uint8(wire.TypeGossip), []byte{typeCompound, 1, 0, 3, typeCompound, 0, 0})
	f.Add(uint8(wire.TypeGossip), []byte("\x04\x86\xabIncarnation\x01\xa4Node\xa1b\xa4Addr\xc0\xa4Port\x00\xa4Meta\xc0\xa3Vsn\xc0"))
	f.Add(uint8(wire.TypeGossip), []byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1b"))
	f.Add(uint8(wire.TypeStream), []byte(strings.Repeat("\xc0", 1200)))
	f.Add(uint8(wire.TypeStream), make([]byte, 1300))
	f.Fuzz(func(t *testing.T, typ uint8, payload []byte) {
		synctest.Test(t, func(t *testing.T) {
			net := newTestNetwork(t, 1)
			a := net.start("a", 1)
			a.Handle(testID("b"), wire.Type(typ), payload)
			synctest.Wait()
			if got := a.aliveMembers(); got > 2 {
				t.Errorf("one packet made %d members", got)
			}
		})
	})
}
