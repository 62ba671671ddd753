package neighbour

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"meshnet/meshd/session"
)

func owner(b byte) (id session.NodeID) {
	for i := range id {
		id[i] = b
	}
	return id
}

func web(node session.NodeID) Neighbour {
	return Neighbour{Container: "web", IfName: "eth0", MAC: [6]byte{2, 1, 2, 3, 4, 5},
		Addrs: []netip.Addr{netip.MustParseAddr("fd00::5"), netip.MustParseAddr("10.77.0.1")}, Node: node}
}

// The bytes of docs/protocol.md, "Neighbour table": what is gossiped.
var messages = []struct {
	name    string
	message any
	hex     string
}{
	{"upsert", Update{Owner: owner(0x11), Epoch: 3, Head: 2, Ops: []Op{{Version: 2, Kind: OpUpsert, Neighbour: web(owner(0x11))}}},
		"01" + strings.Repeat("11", 32) + "0000000000000003" + "0000000000000002" + "01" +
			"0000000000000002" + "01" + "0003776562" + "0465746830" + "020102030405" + "02" +
			"10fd000000000000000000000000000005" + "040a4d0001"},
	{"withdraw", Update{Owner: owner(0x11), Epoch: 3, Head: 4, Ops: []Op{{Version: 3, Kind: OpWithdraw,
		Neighbour: Neighbour{Container: "web", IfName: "eth0", Node: owner(0x11)}}}},
		"01" + strings.Repeat("11", 32) + "0000000000000003" + "0000000000000004" + "01" +
			"0000000000000003" + "02" + "0003776562" + "0465746830"},
	{"no op", Update{Owner: owner(0x11), Epoch: 3, Head: 500},
		"01" + strings.Repeat("11", 32) + "0000000000000003" + "00000000000001f4" + "00"},
	{"left", Left{Owner: owner(0x11), Epoch: 3}, "02" + strings.Repeat("11", 32) + "0000000000000003"},
}

func TestMessageBytes(t *testing.T) {
	for _, tt := range messages {
		want, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.message.(interface{ Append([]byte) []byte }).Append(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: Append = %x, want %x", tt.name, got, want)
		}
		if got, err := ParseMessage(want); err != nil || !reflect.DeepEqual(got, tt.message) {
			t.Errorf("%s: ParseMessage = %+v, %v, want %+v", tt.name, got, err, tt.message)
		}
		for i := range want {
			if _, err := ParseMessage(want[:i]); err == nil {
				t.Errorf("%s: ParseMessage of the first %d bytes error = <nil>", tt.name, i)
			}
		}
		if _, err := ParseMessage(append(want, 0)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: ParseMessage with one byte more error = %v, want ErrInvalid", tt.name, err)
		}
	}
}

func TestParseMessageRejects(t *testing.T) {
	upsert := func(change func(n *Neighbour), version uint64) []byte {
		n := web(owner(1))
		change(&n)
		return Update{Owner: owner(1), Epoch: 1, Head: 5, Ops: []Op{{Version: version, Kind: OpUpsert, Neighbour: n}}}.Append(nil)
	}
	for name, b := range map[string][]byte{
		"unknown kind":          {9},
		"op above head":         upsert(func(*Neighbour) {}, 6),
		"op 0":                  upsert(func(*Neighbour) {}, 0),
		"no container":          upsert(func(n *Neighbour) { n.Container = "" }, 1),
		"container too long":    upsert(func(n *Neighbour) { n.Container = strings.Repeat("c", MaxContainer+1) }, 1),
		"escape in container":   upsert(func(n *Neighbour) { n.Container = "\x1b[2J" }, 1),
		"interface too long":    upsert(func(n *Neighbour) { n.IfName = strings.Repeat("i", MaxIfName+1) }, 1),
		"too many addresses":    upsert(func(n *Neighbour) { n.Addrs = make([]netip.Addr, MaxAddrs+1) }, 1),
		"address without bytes": upsert(func(n *Neighbour) { n.Addrs = make([]netip.Addr, 1) }, 1),
	} {
		if _, err := ParseMessage(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: ParseMessage error = %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, tt := range messages {
		b, _ := hex.DecodeString(tt.hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		if got := m.(interface{ Append([]byte) []byte }).Append(nil); !bytes.Equal(got, b) {
			t.Errorf("Append of what Parse(%x) gave = %x", b, got)
		}
	})
}

// A message that is gossiped never has more than MaxMessage bytes, however large the update.
func TestSplit(t *testing.T) {
	u := Update{Owner: owner(1), Epoch: 1, Head: 600}
	for i := range uint64(600) {
		n := web(owner(1))
		n.Container = strings.Repeat("c", 1+int(i)%MaxContainer)
		u.Ops = append(u.Ops, Op{Version: i + 1, Kind: OpUpsert, Neighbour: n})
	}
	var ops []Op
	for _, part := range u.Split() {
		if n := len(part.Append(nil)); n > MaxMessage {
			t.Fatalf("a part has %d bytes, at most %d are allowed", n, MaxMessage)
		}
		ops = append(ops, part.Ops...)
	}
	if !reflect.DeepEqual(ops, u.Ops) {
		t.Error("the parts are not the whole")
	}
	if parts := (Update{Owner: owner(1), Epoch: 1}).Split(); len(parts) != 1 {
		t.Errorf("an update without ops has %d parts, want 1", len(parts))
	}
}

var digests = []Digest{
	{Owner: owner(0x22), Epoch: 3, Version: 7, Age: 61 * time.Second},
	{Owner: owner(0x33), Epoch: 4, Age: time.Second, Left: true},
}

func TestDigestBytes(t *testing.T) {
	want := "01" + strings.Repeat("11", 32) + "00000002" +
		strings.Repeat("22", 32) + "0000000000000003" + "0000000000000007" + "0000003d" + "00" +
		strings.Repeat("33", 32) + "0000000000000004" + "0000000000000000" + "00000001" + "01"
	b := AppendDigests(nil, owner(0x11), digests)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("AppendDigests = %s, want %s", got, want)
	}
	sender, got, err := ParseDigests(b)
	if err != nil || sender != owner(0x11) || !reflect.DeepEqual(got, digests) {
		t.Errorf("ParseDigests = %v, %+v, %v", sender, got, err)
	}
	// An age is rounded up.
	b = AppendDigests(nil, owner(0x11), []Digest{{Owner: owner(1), Age: 1100 * time.Millisecond}})
	if _, got, err := ParseDigests(b); err != nil || got[0].Age != 2*time.Second {
		t.Errorf("age of 1.1s = %+v, %v, want 2s", got, err)
	}
}

func FuzzParseDigests(f *testing.F) {
	f.Add(AppendDigests(nil, owner(0x11), digests))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		sender, ds, err := ParseDigests(b)
		if err != nil {
			return
		}
		again, ds2, err := ParseDigests(AppendDigests(nil, sender, ds))
		if err != nil || again != sender || !reflect.DeepEqual(ds, ds2) {
			t.Errorf("Parse of Append = %+v, %v, want %+v", ds2, err, ds)
		}
	})
}

func TestTransferBytes(t *testing.T) {
	held := []Mark{{Owner: owner(0x22), Epoch: 3, Version: 7}}
	request := "0001" + strings.Repeat("22", 32) + "0000000000000003" + "0000000000000007"
	if got := hex.EncodeToString(AppendRequest(nil, held)); got != request {
		t.Errorf("AppendRequest = %s, want %s", got, request)
	}
	table := Table{Owner: owner(0x22), Epoch: 3, Version: 9, Age: 2 * time.Second, Entries: []Neighbour{web(owner(0x22))}}
	want := "0000005d" + strings.Repeat("22", 32) + "0000000000000003" + "0000000000000009" + "00000002" + "0001" +
		"0003776562" + "0465746830" + "020102030405" + "02" + "10fd000000000000000000000000000005" + "040a4d0001"
	b := table.Append(nil)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("Table.Append = %s, want %s", got, want)
	}
	got, err := ReadTable(bytes.NewReader(b))
	if err != nil || !reflect.DeepEqual(got, table) {
		t.Errorf("ReadTable = %+v, %v, want %+v", got, err, table)
	}
	for i := range b {
		if _, err := ReadTable(bytes.NewReader(b[:i])); err == nil {
			t.Errorf("ReadTable of the first %d bytes error = <nil>", i)
		}
	}
	if _, err := ReadTable(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("ReadTable of nothing error = %v, want io.EOF", err)
	}
	if _, err := ReadTable(strings.NewReader("\xff\xff\xff\xff")); !errors.Is(err, ErrInvalid) {
		t.Errorf("ReadTable of 4 GB error = %v, want ErrInvalid", err)
	}
	if _, err := ReadRequest(strings.NewReader("\xff\xff")); !errors.Is(err, ErrInvalid) {
		t.Errorf("ReadRequest of 65,535 tables error = %v, want ErrInvalid", err)
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add(Table{Owner: owner(1), Epoch: 1, Version: 1, Entries: []Neighbour{web(owner(1))}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := ReadTable(bytes.NewReader(b))
		if err != nil {
			return
		}
		if got := table.Append(nil); !bytes.HasPrefix(b, got) {
			t.Errorf("Append of what ReadTable(%x) gave = %x", b, got)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add(AppendRequest(nil, []Mark{{Owner: owner(1), Epoch: 1, Version: 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		held, err := ReadRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		if got := AppendRequest(nil, held); !bytes.HasPrefix(b, got) {
			t.Errorf("Append of what ReadRequest(%x) gave = %x", b, got)
		}
	})
}
