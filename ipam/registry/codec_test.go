package registry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// examples holds one command of each operation with every field that it reads.
func examples() []Command {
	caller := Command{Time: start, Registry: ID{1}, Node: node("a"), Instance: 7, Epoch: 3, Seq: 12, Generation: 2}
	with := func(op Op, set func(*Command)) Command {
		c := caller
		c.Op = op
		set(&c)
		return c
	}
	plain := func(op Op, set func(*Command)) Command {
		c := Command{Op: op, Time: start, Registry: ID{1}}
		set(&c)
		return c
	}
	gateway := Pool{Prefix: block("10.77.0.0/16"), BlockBits: 26, Gateway: addr("10.77.0.1"), Exclude: []netip.Prefix{block("10.77.9.0/24")}}
	return []Command{
		plain(OpInit, func(c *Command) {
			c.Node, c.Pools, c.Timing = node("a"), []Pool{gateway, pool("10.78.0.0/24")}, DefaultTiming
		}),
		with(OpRefresh, func(c *Command) {
			c.Name, c.Journal = "host1", 99
			c.Uses = []BlockUse{{block("10.77.0.64/26"), 5}}
			c.Claims = []AddressUse{{addr("10.77.3.9"), "db/eth0"}}
		}),
		with(OpClaim, func(c *Command) {
			c.Pool, c.Block, c.Have = gateway.Prefix, block("10.77.0.128/26"), []netip.Prefix{block("10.77.0.64/26")}
		}),
		with(OpClaimAddress, func(c *Command) { c.Addr, c.Attachment = addr("10.77.3.9"), "db/eth0" }),
		with(OpCarveOut, func(c *Command) { c.Addr, c.To, c.ToEpoch, c.Attachment = addr("10.77.3.9"), node("b"), 4, "db/eth0" }),
		with(OpReleaseBlock, func(c *Command) { c.Block = block("10.77.0.64/26") }),
		with(OpReleaseAddress, func(c *Command) { c.Addr = addr("10.77.3.9") }),
		plain(OpRemoveNode, func(c *Command) { c.To, c.Comment = node("b"), "burnt down" }),
		plain(OpExpireNodes, func(*Command) {}),
		plain(OpReserve, func(c *Command) { c.Range = Reservation{addr("10.77.0.10"), addr("10.77.0.20"), "printers"} }),
		plain(OpUnreserve, func(c *Command) { c.Range = Reservation{First: addr("10.77.0.10"), Last: addr("10.77.0.20")} }),
		plain(OpAddPool, func(c *Command) { c.Pools = []Pool{gateway} }),
		plain(OpRecover, func(c *Command) { c.Generation = 3 }),
	}
}

func TestCommandRoundTrip(t *testing.T) {
	seen := make(map[Op]bool)
	for _, c := range examples() {
		seen[c.Op] = true
		b, err := c.Append([]byte("before"))
		if err != nil {
			t.Errorf("Append of %v: %v", c.Op, err)
			continue
		}
		got, err := ParseCommand(b[len("before"):])
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%v comes back as %+v, %v, want %+v", c.Op, got, err, c)
		}
	}
	for op := OpInit; op < opEnd; op++ {
		if !seen[op] {
			t.Errorf("no example of %v", op)
		}
	}
}

// The bytes are kept in logs by engines, so they must not change.
func TestCommandBytes(t *testing.T) {
	c := Command{Op: OpClaimAddress, Time: start, Registry: ID{0xaa}, Node: NodeID{0xbb}, Instance: 300, Epoch: 2, Seq: 1, Generation: 1,
		Addr: addr("10.77.3.9"), Attachment: "db/eth0"}
	want := "01" + "04" + "8080da9e9bbbadcc18" + // version, operation, time
		"aa" + strings.Repeat("00", 15) + "bb" + strings.Repeat("00", 31) + // registry, node
		"ac02" + "02" + "01" + "01" + // instance, epoch, sequence, generation
		"04" + "0a4d0309" + "07" + hex.EncodeToString([]byte("db/eth0")) // address, attachment
	b, err := c.Append(nil)
	if got := hex.EncodeToString(b); err != nil || got != want {
		t.Errorf("Append = %s, %v, want %s", got, err, want)
	}
}

func TestCommandBounds(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	many := make([]netip.Prefix, 12000)
	for i := range many {
		many[i] = netip.PrefixFrom(fromUint32(uint32(i)<<6), 26)
	}
	for _, tt := range []struct {
		name string
		c    Command
	}{
		{"no operation", Command{Time: start}},
		{"unknown operation", Command{Op: opEnd, Time: start}},
		{"long name", Command{Op: OpRefresh, Time: start, Name: long}},
		{"long reason", Command{Op: OpRemoveNode, Time: start, Comment: long}},
		{"IPv6", Command{Op: OpClaimAddress, Time: start, Addr: addr("fd00::1")}},
		{"before 1970", Command{Op: OpExpireNodes, Time: start.AddDate(-100, 0, 0)}},
		{"negative use", Command{Op: OpRefresh, Time: start, Uses: []BlockUse{{block("10.0.0.0/26"), -1}}}},
		{"longer than MaxCommand", Command{Op: OpClaim, Time: start, Have: many}},
	} {
		b, err := tt.c.Append([]byte("kept"))
		if !errors.Is(err, ErrInvalid) || string(b) != "kept" {
			t.Errorf("%s: Append = %q, %v, want ErrInvalid and what was there", tt.name, b, err)
		}
		if r := Apply(&Map{}, tt.c); r.Code != Invalid {
			t.Errorf("%s: Apply = %v, want invalid", tt.name, r.Code)
		}
	}
	if r := Apply(&Map{}, Command{Op: OpExpireNodes}); r.Code != Invalid {
		t.Errorf("without a time: Apply = %v, want invalid", r.Code)
	}
}

// "Parsing accepts only what appending gives."
func FuzzParseCommand(f *testing.F) {
	for _, c := range examples() {
		b, err := c.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := c.Append(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x, %v", b, again, err)
		}
		w := newWorld(t, pool("10.77.0.0/24"))
		w.admit("a")
		Apply(w.records, c)
		w.sound(c)
	})
}

func FuzzParseResult(f *testing.F) {
	w := newWorld(f, pool("10.77.0.0/24"))
	w.admit("a", "b")
	w.own("b")
	for _, c := range append(examples(), as("a", Command{Op: OpClaim, Registry: ID{1}}), as("a", Command{Op: OpRefresh, Epoch: 1})) {
		c.Time = start
		f.Add(Apply(w.records, c).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		if again := r.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x", b, again)
		}
		if err := r.Err(); (err == nil) != (r.Code == OK) || err != nil && err.Error() == "" {
			t.Errorf("Err of %v = %v", r.Code, err)
		}
	})
}
