package ipam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func testHeader() header {
	c := testConfig()
	addr := c.Prefix.Addr().As16()
	return header{c.NetworkID, c.Node, [8]byte(addr[:])}
}

func leaseEntry(container string, iid uint64) entry {
	at := time.Unix(1_700_000_000, int64(iid)).UTC()
	l := Lease{Attachment: Attachment{container, "eth0"}, Holder: cni, MAC: MAC{2, byte(iid >> 8), byte(iid)}, Created: at}
	return entry{kind: entryLease, lease: l, iid: iid, at: at.UnixNano()}
}

func holderEntry(container string, h Holder) entry {
	return entry{kind: entryHolder, lease: Lease{Attachment: Attachment{container, "eth0"}, Holder: h}, at: 1_700_000_000e9}
}

func labelsEntry(container, config, aliases string) entry {
	l := Lease{Attachment: Attachment{container, "eth0"}, Holder: Holder{Config: config, Aliases: aliases}}
	return entry{kind: entryLabels, lease: l, at: 1_700_000_000e9}
}

func releaseEntry(container string) entry {
	return entry{kind: entryRelease, lease: Lease{Attachment: Attachment{container, "eth0"}}, at: 1_700_000_000e9}
}

// testJournal is a header whose snapshot holds the first record, and then one record for each further list.
func testJournal(records ...[]entry) []byte {
	b := make([]byte, headerLen)
	end := headerLen
	for i, entries := range records {
		var body []byte
		for _, e := range entries {
			body = appendEntry(body, &e)
		}
		b = appendRecord(b, body)
		if i == 0 {
			end = len(b)
		}
	}
	appendHeader(b[:0], testHeader(), uint64(end))
	return b
}

func sampleJournal() []byte {
	return testJournal(
		[]entry{leaseEntry("a", 0x10001), leaseEntry("b", 0x10002)},
		[]entry{leaseEntry("c", 0x10003)},
		[]entry{releaseEntry("a"), leaseEntry("d", 0x10004)},
		[]entry{holderEntry("b", lxc)},
		[]entry{leaseEntry("a", 0x10001), releaseEntry("c"), holderEntry("d", Holder{Source: "manual"})},
	)
}

// The layout of record.go; the checksums are from an implementation of its own.
func TestJournalBytes(t *testing.T) {
	got := testJournal([]entry{leaseEntry("web", 0x0123456789abcdef)}, []entry{holderEntry("web", lxc)}, []entry{releaseEntry("web")})
	want := "6d6e6c6561736573" + "0002" + "0000" + // magic, version, zero
		"01000000000000000000000000000000" + // network ID
		"0200000000000000000000000000000000000000000000000000000000000000" + // node ID
		"fd8b520e14130000" + "0000000000000098" + "e634c573" + // subnet, end of the snapshot, checksum
		"6d6e7263" + "0000003c" + "32d09c98" + // mark, length, checksum
		"01" + "18bae265bfd5cdef" + "0123456789abcdef" + "02cdef000000" + "000000000000" + "0003776562" + "000465746830" +
		"0003636e69" + "000d2f72756e2f6e65746e732f6331" +
		"6d6e7263" + "0000002c" + "aca0c842" +
		"03" + "17979cfe362a0000" + "0003776562" + "000465746830" + "00036c7863" + "00112f70726f632f343731312f6e732f6e6574" +
		"6d6e7263" + "00000014" + "3447c1e0" +
		"02" + "17979cfe362a0000" + "0003776562" + "000465746830"
	if fmt.Sprintf("%x", got) != want {
		t.Errorf("journal =\n%x, want\n%s", got, want)
	}
}

// A journal of version 1, which has no labels, is read; what is written has the newest. Others are another meshd's.
func TestJournalVersions(t *testing.T) {
	for version, want := range map[uint16]string{0: "its version is 0", 1: "", journalVersion: "", journalVersion + 1: "or a newer one"} {
		b := testJournal([]entry{leaseEntry("web", 1<<20)})
		binary.BigEndian.PutUint16(b[8:], version)
		binary.BigEndian.PutUint32(b[76:], checksum(b[:76]))
		_, table, _, err := replay(b)
		if want == "" && (err != nil || len(table.leases) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("version %d: %v, want %q", version, err, want)
		}
	}
}

// The entries of IPv4, each with the bytes that entry.go gives it.
func TestEntryBytes(t *testing.T) {
	const at = "17979cfe362a0000"
	name := Lease{Attachment: Attachment{"web", "eth0"}}
	lost := name
	lost.IPv4, lost.Bits, lost.Lost = netip.MustParseAddr("10.77.0.1"), 16, true
	block := netip.MustParsePrefix("10.77.1.0/26")
	addr := netip.MustParsePrefix("10.77.2.9/32")
	tests := []struct {
		e    entry
		want string
	}{
		{entry{kind: entryAddress, lease: lost}, "04" + at + "01" + "10" + "0a4d0001" + "0003776562" + "000465746830"},
		{entry{kind: entryTerms, text: "{}"}, "05" + at + "0002" + "7b7d"},
		{entry{kind: entryContact, text: "boot"}, "06" + at + "0004" + "626f6f74"},
		{entry{kind: entryGained, prefix: block}, "07" + at + "0a4d0100" + "1a"},
		{entry{kind: entryGone, prefix: block}, "08" + at + "0a4d0100" + "1a"},
		{entry{kind: entryClaimed, prefix: addr}, "09" + at + "0a4d0209" + "20"},
		{entry{kind: entryUnclaimed, prefix: addr}, "0a" + at + "0a4d0209" + "20"},
		{entry{kind: entryCarved, prefix: addr}, "0b" + at + "0a4d0209" + "20"},
		{entry{kind: entryUncarved, prefix: addr}, "0c" + at + "0a4d0209" + "20"},
		{entry{kind: entryFenced}, "0d" + at},
		{entry{kind: entryIdle, prefix: addr, lease: name}, "0e" + at + "0a4d0209" + "20" + "0003776562" + "000465746830"},
		{entry{kind: entrySerial, iid: 7}, "0f" + at + "0000000000000007"},
	}
	for _, tt := range tests {
		tt.e.at = 1_700_000_000e9
		b := appendEntry(nil, &tt.e)
		if got := fmt.Sprintf("%x", b); got != tt.want {
			t.Errorf("entry of kind %d = %s, want %s", tt.e.kind, got, tt.want)
		}
		if got, rest, err := parseEntry(b); got != tt.e || len(rest) > 0 || err != nil {
			t.Errorf("parseEntry(%x) = %+v, %x, %v, want %+v", b, got, rest, err, tt.e)
		}
		if _, _, err := parseEntry(b[:len(b)-1]); err == nil {
			t.Errorf("parseEntry(%x without its last byte) error = <nil>", b)
		}
	}
}

func largestEntry() entry {
	e := leaseEntry(strings.Repeat("c", 1024), 1<<40)
	e.lease.IfName = strings.Repeat("i", 255)
	e.lease.Holder = Holder{Source: strings.Repeat("s", 16), NetNS: strings.Repeat("n", 4096)}
	return e
}

// maxEntry is the length of the largest entry, and a record has room for it.
func TestLargestEntry(t *testing.T) {
	want := largestEntry()
	b := appendEntry(nil, &want)
	if len(b) != maxEntry || maxEntry > maxBody {
		t.Errorf("the largest entry has %d bytes, maxEntry = %d, maxBody = %d", len(b), maxEntry, maxBody)
	}
	if got, rest, err := parseEntry(b); got != want || len(rest) != 0 || err != nil {
		t.Errorf("parseEntry(the largest entry) = %v, %d bytes, %v, want all of it", got.lease, len(rest), err)
	}
}

// "CRC-32C": the check value of the Castagnoli polynomial, RFC 3720 appendix B.4 (32 bytes of zeros, ones, 0 to 31).
func TestChecksum(t *testing.T) {
	var ascending [32]byte
	for i := range ascending {
		ascending[i] = byte(i)
	}
	tests := []struct {
		in   []byte
		want uint32
	}{
		{make([]byte, 32), 0x8a9136aa},
		{bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{ascending[:], 0x46dd794e},
	}
	for _, tt := range tests {
		if got := checksum(tt.in[:10], tt.in[10:]); got != tt.want {
			t.Errorf("checksum(%x) = %08x, want %08x", tt.in, got, tt.want)
		}
	}
}

// "What a crash can leave was never acknowledged": every prefix of a journal opens to the leases of a prefix of its records,
// unless it ends inside the snapshot, which no crash leaves.
func TestReplayOfPrefixes(t *testing.T) {
	whole := sampleJournal()
	_, snapshot, err := parseHeader(whole)
	if err != nil {
		t.Fatal(err)
	}
	states := []map[Attachment]Lease{}
	for end := headerLen; end < len(whole); {
		body, _ := parseRecord(whole[end:])
		end += recordHead + len(body)
		if _, tab, good, err := replay(whole[:end]); end >= snapshot {
			if err != nil || good != end {
				t.Fatalf("replay(first %d bytes) = %d, %v, want all", end, good, err)
			}
			states = append(states, tab.leases)
		}
	}
	for n := range whole {
		_, tab, good, err := replay(whole[:n])
		if n < snapshot {
			if err == nil {
				t.Errorf("replay(first %d bytes) error = <nil>, want damage: the snapshot ends at %d", n, snapshot)
			}
			continue
		}
		if err != nil || good > n || !isOneOf(tab.leases, states) {
			t.Errorf("replay(first %d bytes) = %v, %d, %v, want the leases of some records", n, tab.leases, good, err)
		}
	}
}

// "Any flipped bit never yields a wrong lease": the journal is refused, or the last record is taken for unfinished.
func TestReplayOfFlippedBits(t *testing.T) {
	whole := sampleJournal()
	_, all, _, err := replay(whole)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(whole, []byte(recordMark))
	_, allButLast, _, err := replay(whole[:last])
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			_, tab, _, err := replay(b)
			if i < last && err == nil {
				t.Errorf("replay(bit %d of byte %d flipped) error = <nil>, want damage", bit, i)
			}
			if err == nil && !maps.Equal(tab.leases, allButLast.leases) {
				t.Errorf("replay(bit %d of byte %d flipped) = %v, want %v or without the last record %v",
					bit, i, tab.leases, all.leases, allButLast.leases)
			}
		}
	}
}

func isOneOf(m map[Attachment]Lease, of []map[Attachment]Lease) bool {
	for _, o := range of {
		if maps.Equal(m, o) {
			return true
		}
	}
	return false
}

// FuzzReplay: no input panics; what replay accepts is a table whose snapshot replays to the same table.
func FuzzReplay(f *testing.F) {
	whole := sampleJournal()
	f.Add(whole)
	f.Add(whole[:headerLen])
	f.Add(whole[:len(whole)-3])
	f.Add(testJournal())
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, tab, good, err := replay(b)
		if err != nil {
			return
		}
		if good < headerLen || good > len(b) || len(b)-good > maxRecord {
			t.Errorf("replay(%d bytes) reads %d", len(b), good)
		}
		checkTable(t, tab)
		again, tab2, good2, err := replay(snapshot(h, tab))
		if err != nil || again != h || good2 != len(snapshot(h, tab)) || !maps.Equal(tab.leases, tab2.leases) {
			t.Errorf("replay(snapshot(%v)) = %v, %v", tab.leases, tab2, err)
		}
	})
}

// FuzzEntry: append undoes parse.
func FuzzEntry(f *testing.F) {
	for _, e := range []entry{leaseEntry("web", 1<<40), leaseEntry("", 7), releaseEntry("web"), holderEntry("web", lxc),
		holderEntry("web", Holder{Source: "manual"}), labelsEntry("web", "podnet", "www api"), largestEntry()} {
		f.Add(appendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := parseEntry(b)
		if err != nil {
			return
		}
		if got := appendEntry(nil, &e); !bytes.Equal(append(got, rest...), b) {
			t.Errorf("appendEntry(parseEntry(%x)) = %x", b, got)
		}
	})
}

// FuzzRecord: append undoes parse, and a record is found behind any bytes.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("before"), []byte("body"))
	f.Add([]byte(recordMark), []byte(recordMark))
	f.Fuzz(func(t *testing.T, before, body []byte) {
		if len(body) == 0 || len(body) > maxBody {
			return
		}
		record := appendRecord(nil, body)
		if got, ok := parseRecord(record); !ok || !bytes.Equal(got, body) {
			t.Errorf("parseRecord(appendRecord(%x)) = %x, %v", body, got, ok)
		}
		if at, ok := findRecord(append(bytes.Clone(before), record...)); !ok || at > len(before) {
			t.Errorf("findRecord(%x, record) = %d, %v, want at most %d", before, at, ok, len(before))
		}
		parseRecord(before)
	})
}

// checkTable fails unless the three maps of a table agree.
func checkTable(t testing.TB, tab *table) {
	t.Helper()
	if len(tab.iids) != len(tab.leases) || len(tab.macs) != len(tab.leases) {
		t.Fatalf("%d leases, %d addresses, %d MACs", len(tab.leases), len(tab.iids), len(tab.macs))
	}
	for a, l := range tab.leases {
		if l.Attachment != a || tab.iids[iidOf(l.IPv6)] != a || tab.macs[l.MAC] != a || !tab.subnet.Contains(l.IPv6) {
			t.Fatalf("%v has %+v; its address is %v's, its MAC %v's", a, l, tab.iids[iidOf(l.IPv6)], tab.macs[l.MAC])
		}
	}
}
