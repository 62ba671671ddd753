package control

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/wire"
)

// packMap appends a msgpack map of pairs (a string, then a bool, a small int, a string or bytes), as memberlist's structs are
// encoded: at most 15 pairs, texts of at most 255 bytes.
func packMap(dst []byte, pairs ...any) []byte {
	dst = append(dst, 0x80|byte(len(pairs)/2))
	for _, v := range pairs {
		switch v := v.(type) {
		case bool:
			dst = append(dst, map[bool]byte{false: 0xc2, true: 0xc3}[v])
		case int:
			dst = append(dst, 0xd1, byte(v>>8), byte(v))
		case string:
			dst = append(append(dst, 0xda, 0, byte(len(v))), v...)
		case []byte:
			dst = append(append(dst, 0xda, 0, byte(len(v))), v...)
		}
	}
	return dst
}

// memberlist's message types that hostile members send here; see gossip.go for the others.
const (
	typeAlive    = 4
	typePushPull = 6
)

// A member that says less of its versions than memberlist expects, in gossip or in push/pull, harms nobody: memberlist v0.6.0 read
// beyond the end. Nor does a push/pull of impossible lengths.
func TestHostileMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		a, b, c := net.start("a", 1), net.start("b", 1), net.start("c", 1)
		net.connect(b, a.id)
		net.connect(c, a.id)
		within(t, 30*time.Second, "three members", allAlive([]*testNode{a, b, c}))
		addr := memberAddr(b.id).As16()
		for n := range 7 {
			versions := []byte{1, 5, 2, 1, 1, 1, 1}[:n]
			state := func(name string) []any {
				return []any{"Addr", addr[:], "Incarnation", 1000 + n, "Meta", "", name, b.id.String(), "Port", memberPort, "State", 0, "Vsn", versions}
			}
			if err := b.send(a.id, wire.TypeGossip, packMap([]byte{typeAlive}, state("Node")...)); err != nil {
				t.Fatal(err)
			}
			for _, join := range []bool{false, true} {
				push := packMap([]byte{typePushPull}, "Join", join, "Nodes", 1, "UserStateLen", 0)
				b.pushes(t, a, packMap(push, state("Name")...))
			}
		}
		for _, header := range [][]any{{"Nodes", -1}, {"Nodes", 0x7fff}, {"UserStateLen", -1}, {"UserStateLen", 0x7fff}} {
			b.pushes(t, a, packMap([]byte{typePushPull}, header...))
		}
		time.Sleep(time.Minute) // a push/pull of everybody, and what gossip makes of it
		within(t, 30*time.Second, "three members still", allAlive([]*testNode{a, b, c}))
	})
}

// pushes sends message to another node as the beginning of a stream of memberlist's, and waits for its end.
func (n *testNode) pushes(t *testing.T, to *testNode, message []byte) {
	t.Helper()
	conn, err := n.Dial(testContext(t, 10*time.Second), to.id, protoMembership)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // fails only on a closed stream, and so will ReadAll
	_, _ = io.ReadAll(conn)                               // whatever it answers, if anything
}
