package node_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam"
	"meshnet/meshd/node"
	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// in runs f in a bubble with a cluster of n members that know the first one, all started.
func in(t *testing.T, n int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		for i := range n {
			if i == 0 {
				c.add()
			} else {
				c.add(c.members[0])
			}
			c.members[i].start()
		}
		c.eventually(10*time.Second, "every member has a session with every other", c.complete)
		f(t, c)
	})
}

// frame returns an Ethernet frame of n bytes of an experimental EtherType (IEEE Std 802, local experimental).
func frame(dst, src [6]byte, n int) []byte {
	b := make([]byte, n)
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], 0x88b5)
	for i := 14; i < n; i++ {
		b[i] = byte(i)
	}
	return b
}

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// receive returns the next frame that the member's TAP is written.
func (m *member) receive() []byte {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	f, err := m.tap.Next(ctx)
	if err != nil {
		m.c.t.Fatalf("%s received no frame: %v", m.name, err)
	}
	return f
}

// "C joined knowing only A; B learned C by itself."
func TestMembersLearnOfEachOther(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		b := c.members[1].node.Peers()
		if len(b) != 2 || b[1].Name != "host2" || b[1].State != node.PeerUp {
			t.Errorf("peers of host1 = %+v, want host0 and host2 up", b)
		}
	})
}

// Frames of any size reach the member that has the destination, and broadcast reaches all of them, once.
func TestFramesCrossTheMesh(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		a, b, other := c.members[0], c.members[1], c.members[2]
		macA, macB := [6]byte{2, 0, 0, 0, 0, 0xa}, [6]byte{2, 0, 0, 0, 0, 0xb}

		hello := frame(broadcast, macA, 60)
		a.tap.Inject(hello)
		for _, m := range []*member{b, other} {
			if got := m.receive(); !bytes.Equal(got, hello) {
				t.Errorf("%s received %x, want the broadcast", m.name, got)
			}
		}
		time.Sleep(time.Second)             // learned
		b.tap.Inject(frame(macA, macB, 60)) // and so is b
		a.receive()
		time.Sleep(time.Second)
		for _, size := range []int{60, 1214, 1215, 1514} {
			sent := frame(macB, macA, size)
			a.tap.Inject(sent)
			if got := b.receive(); !bytes.Equal(got, sent) {
				t.Errorf("frame of %d bytes arrived as %d bytes", size, len(got))
			}
		}
		time.Sleep(time.Second)
		if n := len(other.tap.Frames()); n != 0 {
			t.Errorf("%d frames for host1 reached host2", n)
		}
	})
}

// "A member that vanishes is noticed, and seen again when it returns."
func TestVanishAndReturn(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		gone := c.members[1]
		gone.kill()
		took := c.eventually(30*time.Second, "the others see that host1 is down", func() bool {
			for _, m := range []*member{c.members[0], c.members[2]} {
				if p := m.node.Peers(); p[len(p)-1].Name == "host1" && p[len(p)-1].State != node.PeerDown || p[0].Name == "host1" && p[0].State != node.PeerDown {
					return false
				}
			}
			return true
		})
		t.Logf("noticed after %v", took)
		gone.start()
		took = c.eventually(5*time.Second, "host1 is back", c.complete)
		t.Logf("back after %v", took)
	})
}

// "Killing and restarting any meshd heals by itself."
func TestRestartHeals(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		for _, m := range c.members {
			lease, err := m.node.Attach(t.Context(), request("web"))
			if err != nil {
				t.Fatal(err)
			}
			m.kill()
			time.Sleep(100 * time.Millisecond)
			m.start()
			took := c.eventually(5*time.Second, m.name+" is back", c.complete)
			t.Logf("%s is back after %v", m.name, took)
			again, err := m.node.Attach(t.Context(), request("web"))
			if err != nil || again != lease {
				t.Errorf("lease after the restart = %v, %v; want %v", again, err, lease)
			}
		}
	})
}

// A partition heals without a restart, however long it was, and both sides see each other's containers again.
func TestPartitionHeals(t *testing.T) {
	in(t, 4, func(t *testing.T, c *cluster) {
		var left []netip.AddrPort
		for _, m := range c.members[:2] {
			left = append(left, m.host.LocalAddr())
		}
		c.net.Partition(left)
		time.Sleep(10 * time.Minute)
		if _, err := c.members[0].node.Attach(t.Context(), request("new")); err != nil {
			t.Fatal(err)
		}
		c.net.Heal()
		took := c.eventually(2*time.Minute, "the halves are one again", c.complete)
		took += c.eventually(2*time.Minute, "the new container is known everywhere", func() bool {
			return len(c.members[3].node.Neighbours()) == 1
		})
		t.Logf("healed after %v", took)
	})
}

// "Two hosts with the same name": the newcomer is refused.
func TestSameName(t *testing.T) {
	in(t, 2, func(t *testing.T, c *cluster) {
		m := c.add(c.members[0])
		m.name = "host1"
		m.start()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := m.node.WaitJoined(ctx)
		var taken *node.NameTakenError
		if !errors.As(err, &taken) || taken.Owner != c.members[1].identity.Public {
			t.Errorf("WaitJoined() = %v, want that host1 has the name", err)
		}
	})
}

// "A cloned identity": the copy that started first keeps out, and both say so.
func TestClonedIdentity(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		original := c.members[1]
		time.Sleep(time.Minute)
		clone := c.add(c.members[0])
		clone.identity = original.identity
		clone.start()
		said := func(m *member, what string) func() bool {
			return func() bool {
				st, err := m.node.Status(t.Context())
				return err == nil && strings.Contains(strings.Join(st.Warnings, "\n"), what)
			}
		}
		c.eventually(3*time.Minute, "the original knows that it was copied", said(original, "the members refuse this one"))
		c.eventually(3*time.Minute, "somebody else says so", func() bool {
			return said(c.members[0], "two hosts use the identity")() || said(c.members[2], "two hosts use the identity")()
		})
		c.eventually(time.Minute, "the copy that started later is a member", func() bool { return clone.up() == 2 })
	})
}

// "Wrong or missing PSK: silence and a counter, never an answer."
func TestStrangersGetSilence(t *testing.T) {
	in(t, 2, func(t *testing.T, c *cluster) {
		stranger := c.net.Host("192.0.2.200:7000")
		defer stranger.Close()
		machine := session.New(session.Config{
			NetworkID: session.NetworkID("sim", c.psk), PSK: [32]byte{42}, Identity: mustIdentity(t, 99), Instance: 1,
		})
		machine.ConnectTo(time.Now(), c.members[0].host.LocalAddr())
		machine.Advance(time.Now())
		out, _ := machine.Drain()
		if len(out) == 0 {
			t.Fatal("the stranger did not knock")
		}
		stranger.WriteBatch(out)
		for _, b := range [][]byte{nil, {4}, bytes.Repeat([]byte{5}, 64), frame(broadcast, broadcast, 1200)} {
			c.net.Send(stranger.LocalAddr(), c.members[0].host.LocalAddr(), b)
		}
		answered := make(chan struct{})
		go func() {
			ds := []wire.Datagram{{Buf: make([]byte, 2048)}}
			if n, _ := stranger.ReadBatch(ds, -1); n > 0 {
				close(answered)
			}
		}()
		time.Sleep(time.Minute)
		select {
		case <-answered:
			t.Error("the stranger got an answer")
		default:
		}
		if n := c.members[0].node.Counters()["session_handshake_psk"]; n == 0 {
			t.Error("session_handshake_psk = 0, want the stranger counted")
		}
	})
}

// Attaching and detaching at once leave what is on disk and what the members are told the same.
func TestAttachAndDetachAtOnce(t *testing.T) {
	in(t, 2, func(t *testing.T, c *cluster) {
		a := ipam.Attachment{Container: "web", IfName: "eth0"}
		n := c.members[0].node
		for range 50 {
			var wg sync.WaitGroup
			wg.Go(func() { n.Attach(t.Context(), ipam.Request{Attachment: a}) })
			wg.Go(func() { n.Detach(a) })
			wg.Wait()
			if held, told := len(n.Leases()), len(n.Neighbours()); held != told {
				t.Fatalf("%d leases, and the members are told of %d", held, told)
			}
		}
	})
}

// A node that has ended says so; nobody waits for it.
func TestStatusAfterTheEnd(t *testing.T) {
	in(t, 2, func(t *testing.T, c *cluster) {
		c.members[1].kill()
		if _, err := c.members[1].node.Status(t.Context()); !errors.Is(err, node.ErrEnded) {
			t.Errorf("Status() = %v, want ErrEnded", err)
		}
	})
}

// A member that leaves is no member any more, and its containers are not listed.
func TestLeave(t *testing.T) {
	in(t, 3, func(t *testing.T, c *cluster) {
		m := c.members[2]
		if _, err := m.node.Attach(t.Context(), request("web")); err != nil {
			t.Fatal(err)
		}
		c.eventually(10*time.Second, "the container is known", func() bool { return len(c.members[0].node.Neighbours()) == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := m.node.Leave(ctx); err != nil {
			t.Fatalf("Leave() = %v", err)
		}
		m.kill()
		c.members = c.members[:2]
		c.eventually(10*time.Second, "the container has gone with its host", func() bool {
			return len(c.members[0].node.Neighbours()) == 0 && len(c.members[1].node.Neighbours()) == 0
		})
		for _, p := range c.members[0].node.Peers() {
			if p.Name == "host2" && p.State != node.PeerLeft {
				t.Errorf("host2 is %v, want left", p.State)
			}
		}
	})
}
