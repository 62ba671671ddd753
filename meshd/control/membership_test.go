package control

import (
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
)

// A node that has met one member learns all members, and they learn it.
func TestThreeNodesConverge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		a, b, c := net.start("a", 1), net.start("b", 2), net.start("c", 3)
		net.connect(b, a.id)
		net.connect(c, b.id)
		took := within(t, 5*time.Second, "all alive", allAlive([]*testNode{a, b, c}))
		t.Logf("took %v", took)
		m := a.member("c")
		if m.Name != "c" || m.Instance != 3 || len(m.Endpoints) != 1 || m.Endpoints[0].Port() != 7000 {
			t.Errorf("a's member c = %+v, want its name, instance and endpoint", m)
		}
		if a.saw("up c 3") == 0 {
			t.Errorf("events of a = %q, want \"up c 3\"", a.events)
		}
	})
}

// 30 nodes that start together and know one of them converge in seconds, though every twentieth datagram is lost.
func TestThirtyNodesConverge(t *testing.T) {
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			net := newTestNetwork(t, seed)
			net.loss = 0.05
			nodes := net.startMany(30)
			for _, n := range nodes[1:] {
				net.connect(n, nodes[0].id)
			}
			took := within(t, 20*time.Second, "all alive", allAlive(nodes))
			var joins, dials uint64
			for _, n := range nodes {
				joins += n.Counters()["joins"]
				dials += n.Counters()["stream_dials"]
			}
			t.Logf("seed %d: %v, %d joins, %d connections", seed, took, joins, dials)
			// Nobody is thought dead only because datagrams are lost.
			time.Sleep(time.Minute)
			for _, n := range nodes {
				for _, m := range nodes {
					if n.saw("down "+m.name) > 0 {
						t.Errorf("seed %d: %s held %s for dead", seed, n.name, m.name)
					}
				}
			}
		})
	}
}

// A path of 300 ms and 5 % loss keeps its members.
func TestBadPathDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		net.loss, net.latency = 0.05, 150*time.Millisecond
		nodes := net.startMany(5)
		for _, n := range nodes[1:] {
			net.connect(n, nodes[0].id)
		}
		within(t, 20*time.Second, "all alive", allAlive(nodes))
		time.Sleep(10 * time.Minute)
		for _, n := range nodes {
			for _, m := range nodes {
				if n.saw("down "+m.name) > 0 {
					t.Errorf("%s held %s for dead", n.name, m.name)
				}
			}
		}
	})
}

// A member that vanishes is noticed, and seen again when it returns.
func TestVanishedMember(t *testing.T) {
	for _, size := range []int{2, 3, 12} {
		synctest.Test(t, func(t *testing.T) {
			net := newTestNetwork(t, 1)
			nodes := net.startMany(size)
			for _, n := range nodes[1:] {
				net.connect(n, nodes[0].id)
			}
			within(t, 10*time.Second, "all alive", allAlive(nodes))
			last, rest := nodes[size-1], nodes[:size-1]
			net.stop(last)
			took := within(t, 20*time.Second, "noticed", allAlive(rest))
			t.Logf("%d nodes: noticed after %v", size, took)
			if m := rest[0].member(last.name); m.State != StateDead || time.Since(m.Since) > 20*time.Second {
				t.Errorf("member that vanished = %+v, want dead", m)
			}
			if rest[0].saw("down "+last.name) != 1 {
				t.Errorf("events = %q, want one down", rest[0].events)
			}
			time.Sleep(2 * time.Minute) // memberlist has forgotten it by now
			last = net.start(last.name, 2)
			net.connect(last, rest[0].id)
			took = within(t, 5*time.Second, "back", allAlive(append(rest, last)))
			t.Logf("%d nodes: back after %v", size, took)
		})
	}
}

// A restart with a newer instance is accepted at once and seen as an update, though nobody noticed the death.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := net.startMany(3)
		net.connect(nodes[1], nodes[0].id)
		net.connect(nodes[2], nodes[0].id)
		within(t, 10*time.Second, "all alive", allAlive(nodes))
		time.Sleep(time.Minute)
		net.stop(nodes[2])
		nodes[2] = net.start("n02", 7)
		net.connect(nodes[2], nodes[0].id)
		took := within(t, 5*time.Second, "all know instance 7", func() bool {
			return nodes[0].member("n02").Instance == 7 && nodes[1].member("n02").Instance == 7 && nodes[2].aliveMembers() == 3
		})
		t.Logf("took %v", took)
		if nodes[0].saw("down n02") > 0 || nodes[0].saw("up n02 7") == 0 {
			t.Errorf("events = %q, want up n02 7 and no down", nodes[0].events)
		}
	})
}

// A network that was cut in two for long heals without a restart.
func TestPartitionHeals(t *testing.T) {
	for _, cut := range []time.Duration{20 * time.Second, 45 * time.Second, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			net := newTestNetwork(t, 1)
			nodes := net.startMany(5)
			for _, n := range nodes[1:] {
				net.connect(n, nodes[0].id)
			}
			within(t, 10*time.Second, "all alive", allAlive(nodes))
			net.part("n03", "n04")
			time.Sleep(cut)
			if got := nodes[0].aliveMembers(); got != 3 {
				t.Errorf("cut for %v: alive = %d, want 3", cut, got)
			}
			net.heal()
			took := within(t, 30*time.Second, "healed", allAlive(nodes))
			t.Logf("cut for %v: healed after %v", cut, took)
		})
	}
}

// A member that leaves is reported as such, and not called any more.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		net.loss = 0.05
		a, b := net.start("a", 1), net.start("b", 1)
		c := net.start("c", 5, attachment("web", 1))
		net.connect(b, a.id)
		net.connect(c, a.id)
		within(t, 10*time.Second, "all alive", allAlive([]*testNode{a, b, c}))
		within(t, 10*time.Second, "web known", func() bool { return len(a.containers()) == 1 && len(b.containers()) == 1 })
		began := time.Now()
		if err := c.Leave(testContext(t, 5*time.Second)); err != nil {
			t.Errorf("Leave error = %v", err)
		}
		t.Logf("leaving took %v", time.Since(began))
		within(t, 5*time.Second, "gone", allAlive([]*testNode{a, b}))
		time.Sleep(time.Minute)
		for _, n := range []*testNode{a, b} {
			if m := n.member("c"); m.State != StateLeft {
				t.Errorf("%s's member c = %+v, want left", n.name, m)
			}
			if n.saw("left c") != 1 {
				t.Errorf("events of %s = %q, want \"left c\" once", n.name, n.events)
			}
			if got := n.containers(); len(got) != 0 {
				t.Errorf("%s's containers = %q, want none", n.name, got)
			}
		}
		time.Sleep(leftRetention + 2*sweepInterval)
		if got := len(a.Members()); got != 2 {
			t.Errorf("members long after = %d, want 2", got)
		}
		// The same node may come again, later.
		net.mu.Lock()
		delete(net.nodes, c.id)
		net.mu.Unlock()
		c = net.start("c", 6, attachment("web", 1))
		net.connect(c, b.id)
		within(t, 10*time.Second, "back", allAlive([]*testNode{a, b, c}))
		within(t, 10*time.Second, "web back", func() bool { return len(a.containers()) == 1 })
	})
}

// Leave does not wait for news to spread when nobody is there.
func TestLeaveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		a := net.start("a", 1)
		if err := a.Leave(testContext(t, time.Second)); err != nil {
			t.Errorf("Leave error = %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close after Leave error = %v", err)
		}
		if err := a.Leave(t.Context()); err == nil {
			t.Error("Leave after Close error = <nil>, want closed")
		}
		a.Handle(testID("b"), wire.TypeStream, make([]byte, 1200)) // must not crash
		a.Met(testID("b"), 1)
		time.Sleep(Linger)
	})
}

// Leave says that ctx ended before the news was out, and closes even so.
func TestLeaveContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := net.startMany(2)
		net.connect(nodes[1], nodes[0].id)
		within(t, 10*time.Second, "all alive", allAlive(nodes))
		ctx := testContext(t, time.Millisecond)
		if err := nodes[1].Leave(ctx); err == nil {
			t.Error("Leave error = <nil>, want the context's")
		}
	})
}

// New endpoints reach the members.
func TestSetEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		nodes := net.startMany(3)
		net.connect(nodes[1], nodes[0].id)
		net.connect(nodes[2], nodes[0].id)
		within(t, 10*time.Second, "all alive", allAlive(nodes))
		endpoints := nodes[0].member("n00").Endpoints
		endpoints = append(endpoints[:1:1], endpoints[0], endpoints[0])
		nodes[0].SetEndpoints(endpoints)
		within(t, 3*time.Second, "told", func() bool {
			return len(nodes[1].member("n00").Endpoints) == 3 && len(nodes[2].member("n00").Endpoints) == 3
		})
	})
}

// Two members with one name are both members; the later instance is the newcomer.
func TestNameConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		a := net.start("a", 1)
		twin := &testNode{net: net, id: testID("a twin"), name: "a", instance: 9}
		cfg := a.cfg
		cfg.Self, cfg.Instance, cfg.Send, cfg.Events = twin.id, 9, twin.send, twin
		var err error
		if twin.Control, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		net.mu.Lock()
		net.nodes[twin.id] = twin
		net.mu.Unlock()
		net.connect(twin, a.id)
		within(t, 5*time.Second, "members", allAlive([]*testNode{a, twin}))
		for _, n := range []*testNode{a, twin} {
			conflicts := n.NameConflicts()
			if len(conflicts) != 1 || conflicts[0].Name != "a" || conflicts[0].Members[0].ID != a.id || conflicts[0].Members[1].ID != twin.id {
				t.Errorf("NameConflicts = %+v, want a: the first, then its twin", conflicts)
			}
		}
	})
}
