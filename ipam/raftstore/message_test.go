package raftstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"meshnet/ipam/registry"
)

func sampleStanding() standing {
	return standing{
		registry: identity{ID: registry.ID{1}, Created: time.Unix(0, 2).UTC(), Creator: registry.NodeID{3}, Generation: 4, Lineage: 5},
		role:     roleVoter, incarnation: 6, term: 7, lastIndex: 8, applied: 9, command: 8, commandSum: 7, configIndex: 10,
		leader:  [32]byte{11},
		servers: []member{{serverID{[32]byte{11}, 12}, true}, {serverID{[32]byte{13}, 14}, false}},
	}
}

// The vector of docs/protocol.md, "Block store streams".
func TestStandingVector(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("00", n) }
	want := "01" + zeros(15) + "0000000000000002" + "03" + zeros(31) + "0000000000000004" + "0000000000000005" +
		"02" + "0000000000000006" + "0000000000000007" + "0000000000000008" + "0000000000000009" + "0000000000000008" + "00000007" + "000000000000000a" +
		"0b" + zeros(31) + "02" +
		"0b" + zeros(31) + "000000000000000c" + "01" +
		"0d" + zeros(31) + "000000000000000e" + "00"
	s := sampleStanding()
	if got := hex.EncodeToString(s.append(nil)); got != want {
		t.Errorf("standing =\n%s, want\n%s", got, want)
	}
	got, rest, err := parseStanding(append(s.append(nil), "rest"...))
	if err != nil || !reflect.DeepEqual(got, s) || string(rest) != "rest" {
		t.Errorf("parseStanding = %+v, %q, %v", got, rest, err)
	}
}

func TestPreambleVector(t *testing.T) {
	p := preamble{registry: [16]byte{1}, generation: 2, lineage: 3, incarnation: 4}
	want := "01" + "01" + strings.Repeat("00", 15) + "0000000000000002" + "0000000000000003" + "0000000000000004"
	b := p.append(nil)
	if got := hex.EncodeToString(b); got != want || len(b) != preambleLen {
		t.Errorf("preamble = %s, want %s", got, want)
	}
	if got, err := readPreamble(bytes.NewReader(b)); err != nil || got != p {
		t.Errorf("readPreamble = %+v, %v", got, err)
	}
	b[0] = 2
	if _, err := readPreamble(bytes.NewReader(b)); !errors.Is(err, errMessage) {
		t.Errorf("readPreamble of version 2 error = %v", err)
	}
}

func FuzzParseStanding(f *testing.F) {
	s := sampleStanding()
	f.Add(s.append(nil))
	f.Add((&standing{}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, err := parseStanding(b)
		if err != nil {
			return
		}
		if again := s.append(nil); !bytes.Equal(append(again, rest...), b) {
			t.Errorf("append of %+v = %x, want %x", s, again, b)
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	var b bytes.Buffer
	_ = writeMessage(&b, byte(kindHello), []byte("body")) // a Buffer takes everything
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		first, body, err := readMessage(r, 1000)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeMessage(&again, first, body); err != nil || !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("written again = %x, want the beginning of %x", again.Bytes(), b)
		}
	})
}

func TestReadMessage(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      error
	}{
		{"empty body", "010100000000", nil},
		{"body", "0102000000016e", nil},
		{"another version", "020100000000", errMessage},
		{"too long", "0101000003e9", errMessage},
		{"torn header", "0101", io.ErrUnexpectedEOF},
		{"torn body", "0101000000026e", io.ErrUnexpectedEOF},
	} {
		b, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := readMessage(bytes.NewReader(b), 1000); !errors.Is(err, tt.want) {
			t.Errorf("%s: readMessage(%s) error = %v, want %v", tt.name, tt.hex, err, tt.want)
		}
	}
}

func FuzzParseServerID(f *testing.F) {
	f.Add(serverID{[32]byte{1}, 2}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseServerID(text); err == nil && s.String() != text {
			t.Errorf("parseServerID(%q).String() = %q", text, s.String())
		}
	})
}

// "The lower of two registries by age, then by ID, counts"; "of two recoveries, the later generation, then the greater
// lineage".
func TestIdentityOrder(t *testing.T) {
	a := identity{ID: registry.ID{1}, Created: time.Unix(1, 0), Generation: 1, Lineage: 1}
	younger, twin := a, a
	younger.ID, younger.Created = registry.ID{0, 1}, time.Unix(2, 0)
	twin.ID = registry.ID{2}
	if !a.older(younger) || younger.older(a) || !a.older(twin) || twin.older(a) || a.older(a) {
		t.Error("older is not the order of creation, then of ID")
	}
	next, rival := a, a
	next.Generation, rival.Lineage = 2, 2
	if !next.newer(a) || a.newer(next) || !rival.newer(a) || !next.newer(rival) || a.newer(a) || next.newer(younger) {
		t.Error("newer is not the order of generations, then of lineages")
	}
}

// Nobody speaks for another node, and nobody makes or recovers a registry from afar.
func TestMayAsk(t *testing.T) {
	peer, other := nodeID(1), nodeID(2)
	for _, tt := range []struct {
		command registry.Command
		ok      bool
	}{
		{registry.Command{Op: registry.OpClaim, Node: peer}, true},
		{registry.Command{Op: registry.OpClaim, Node: other}, false},
		{registry.Command{Op: registry.OpRefresh, Node: other}, false},
		{registry.Command{Op: registry.OpCarveOut, Node: other}, false},
		{registry.Command{Op: registry.OpReleaseBlock, Node: other}, false},
		{registry.Command{Op: registry.OpReleaseAddress, Node: other}, false},
		{registry.Command{Op: registry.OpRemoveNode, To: other}, true},
		{registry.Command{Op: registry.OpReserve}, true},
		{registry.Command{Op: registry.OpInit, Node: peer}, false},
		{registry.Command{Op: registry.OpRecover}, false},
	} {
		if err := mayAsk(peer, tt.command); (err == nil) != tt.ok {
			t.Errorf("mayAsk(%d of %s) = %v, want ok %v", tt.command.Op, tt.command.Node.Short(), err, tt.ok)
		}
	}
}

// What a stranger may send does no harm.
func TestBadRequests(t *testing.T) {
	inBubble(t, []int{1}, func(t *testing.T, c *cluster) {
		s := c.up(1)
		c.awaitRoles(time.Minute, 1, 0, 0)
		c.admit(1) // the registry is made
		ours := s.standing()
		foreign := sampleStanding()
		command, err := registry.Command{Op: registry.OpUnreserve, Range: registry.Reservation{
			First: netip.MustParseAddr("10.77.0.9"), Last: netip.MustParseAddr("10.77.0.9")}}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			kind kind
			body []byte
			want status
		}{
			{"unknown request", 99, nil, statusRefused},
			{"short hello", kindHello, []byte{1}, statusRefused},
			{"short do", kindDo, []byte{1}, statusRefused},
			{"no command", kindDo, ours.registry.append(nil), statusRefused},
			{"command for another registry", kindDo, append(foreign.registry.append(nil), command...), statusElsewhere},
			{"command for this one", kindDo, append(ours.registry.append(nil), command...), statusOK},
			{"short view", kindView, ours.registry.append(nil), statusRefused},
			{"view", kindView, append(ours.registry.append(nil), make([]byte, 8)...), statusOK},
			{"view of what is not there yet", kindView, binary.BigEndian.AppendUint64(ours.registry.append(nil), 1000), statusElsewhere},
			{"view of another registry", kindView, append(foreign.registry.append(nil), make([]byte, 8)...), statusElsewhere},
			{"dismissal by a stranger", kindDismiss, append(foreign.append(nil), make([]byte, 8)...), statusElsewhere},
			{"short dismissal", kindDismiss, ours.append(nil), statusRefused},
		} {
			if got, answer := s.answer([32]byte{99}, tt.kind, tt.body); got != tt.want {
				t.Errorf("%s: status = %d (%q), want %d", tt.name, got, answer, tt.want)
			}
		}
	})
}

// A stream that was silent for so long that its connection has ended is opened anew for the next message.
func TestIdleStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet(1)
		a, b := n.node(nodeID(1)), n.node(nodeID(2))
		l := newLayer(a, identity{ID: registry.ID{1}}, serverID{nodeID(1), 1})
		defer l.Close()
		listener := b.Listen(RaftProtocol)
		c, err := l.Dial(raft.ServerAddress(serverID{nodeID(2), 2}.String()), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second after the first has ended
			if _, err := c.Write([]byte("message")); err != nil {
				t.Fatal(err)
			}
			accepted, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			p, err := readPreamble(accepted)
			if err != nil || p.incarnation != 2 {
				t.Fatalf("preamble = %+v, %v", p, err)
			}
			got := make([]byte, 7)
			if _, err := io.ReadFull(accepted, got); err != nil || string(got) != "message" {
				t.Errorf("read %q, %v", got, err)
			}
			accepted.Close()
			time.Sleep(maxIdle)
		}
	})
}
