package ipam

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	epoch = time.Unix(1_700_000_000, 0)
	web   = Attachment{"web", "eth0"}
	db    = Attachment{"db", "eth0"}
	cni   = Holder{Source: "cni", NetNS: "/run/netns/c1"}
	lxc   = Holder{Source: "lxc", NetNS: "/proc/4711/ns/net"}
)

// "Never silently starts afresh": each kind of damage is refused with the place and the way out, and the file is left alone.
func TestOpenRefusesDamage(t *testing.T) {
	whole := sampleJournal()
	second := headerLen + bytes.Index(whole[headerLen+1:], []byte(recordMark)) + 1
	flip := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		return b
	}
	body := func(b ...byte) []byte { return appendRecord(testJournal(), b) }
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "at offset 0: the header has 0 bytes"},
		{"short header", whole[:40], "at offset 0: the header has 40 bytes"},
		{"another kind of file", bytes.Repeat([]byte("x"), 200), "at offset 0: it does not begin with"},
		{"later version", flip(9), "at offset 0: its version is 18"},
		{"header", flip(30), "at offset 0: the header's checksum is wrong"},
		{"snapshot cut off", whole[:second-1], "at offset 0: the snapshot ends at"},
		{"snapshot", flip(headerLen + 20), "at offset 80: a record that was on disk"},
		{"middle", flip(second + 20), fmt.Sprintf("at offset %d: a record is damaged, though a good one follows", second)},
		{"middle missing", append(bytes.Clone(whole[:second+5]), whole[second+9:]...), "a good one follows"},
		{"long tail", append(bytes.Clone(whole), make([]byte, maxRecord+1)...), "more than one unfinished record"},
		{"leased twice", testJournal([]entry{leaseEntry("a", 1<<20)}, []entry{leaseEntry("a", 1<<21)}), "a/eth0 is leased twice"},
		{"same address", testJournal([]entry{leaseEntry("a", 1<<20), leaseEntry("b", 1<<20)}), "have the same address"},
		{"same MAC", testJournal([]entry{leaseEntry("a", 1<<20), leaseEntry("b", 1<<21)}), "have the same MAC"},
		{"released twice", testJournal([]entry{leaseEntry("a", 1<<20)}, []entry{releaseEntry("a"), releaseEntry("a")}), "has no lease"},
		{"holder of nothing", testJournal([]entry{leaseEntry("a", 1<<20)}, []entry{holderEntry("b", lxc)}), "b/eth0 has another holder but no lease"},
		{"holder after release", testJournal([]entry{leaseEntry("a", 1<<20)}, []entry{releaseEntry("a"), holderEntry("a", lxc)}), "no lease"},
		{"long source", testJournal([]entry{holderEntry("a", Holder{Source: strings.Repeat("s", 17)})}), "source has 17 bytes"},
		{"long config", testJournal([]entry{leaseEntry("a", 1), labelsEntry("a", strings.Repeat("c", 256), "")}), "configuration has 256 bytes"},
		{"long aliases", testJournal([]entry{leaseEntry("a", 1), labelsEntry("a", "", strings.Repeat("a", 2049))}), "aliases have 2049 bytes"},
		{"labels of none", testJournal([]entry{labelsEntry("a", "podnet", "")}), "a/eth0 has labels but no lease"},
		{"unprintable source", testJournal([]entry{holderEntry("a", Holder{Source: "c\n"})}), `source "c\n" is not printable`},
		{"long namespace", testJournal([]entry{holderEntry("a", Holder{NetNS: strings.Repeat("n", 4097)})}), "namespace has 4097 bytes"},
		{"unknown entry", body(99, 0, 0, 0, 0, 0, 0, 0, 0), "kind 99"},
		{"short entry", body(1, 0, 0, 0), "an entry is longer than its record"},
		{"short lease", body(1, 0, 0, 0, 0, 0, 0, 0, 0, 1), "an entry is longer than its record"},
		{"short name", body(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "an entry is longer than its record"},
		{"no holder", body(3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'e'), "an entry is longer than its record"},
		{"short holder", body(3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'e', 0, 0, 0, 1), "an entry is longer than its record"},
		{"no interface", body(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "the interface has no name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, journalName)
			if err := os.WriteFile(name, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, testConfig())
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("Open error = %v, want ErrCorrupt", err)
			}
			for _, want := range []string{tt.want, name, "restore the file from a backup", "move it away"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open error = %v, want it to contain %q", err, want)
				}
			}
			if left, err := os.ReadFile(name); err != nil || !bytes.Equal(left, tt.file) {
				t.Errorf("Open changed the file it refused (%v)", err)
			}
		})
	}
}

// "What a crash can leave is cut off and logged."
func TestOpenCutsATornTail(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	want := mustLease(t, s, web)
	mustLease(t, s, db)
	f := d.names[journalName]
	f.data = f.data[:len(f.data)-1]

	var logged bytes.Buffer
	c := testConfig()
	c.Log = newLogger(&logged)
	s, err := open(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Leases(); len(got) != 1 || got[0] != want {
		t.Errorf("Leases() = %v, want %v", got, want)
	}
	if !strings.Contains(logged.String(), "unfinished record") || !strings.Contains(logged.String(), "offset=") {
		t.Errorf("log = %q, want the cut and its offset", &logged)
	}
}

// What Open has read is in the snapshot of the file it writes, so later damage to the last lease is not taken for a crash's.
func TestOpenProtectsTheLastRecord(t *testing.T) {
	d := newMemDirectory()
	mustLease(t, openMem(t, d), web)
	openMem(t, d)
	f := d.names[journalName]
	f.data[len(f.data)-1] ^= 1
	if _, err := open(d, testConfig()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open after damage to the last record: error = %v, want ErrCorrupt", err)
	}
}

func TestOpenRefusesForeignJournals(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"network", func(c *Config) { c.NetworkID[0]++ }, "is of network 0100"},
		{"node", func(c *Config) { c.Node[0]++ }, "must not be copied to another host"},
		{"prefix", func(c *Config) { c.Prefix = ULA([16]byte{9}) }, "give it back its prefix"},
	}
	for _, tt := range tests {
		d := newMemDirectory()
		mustLease(t, openMem(t, d), web)
		c := testConfig()
		tt.change(&c)
		if _, err := open(d, c); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("open with another %s: error = %v, want ErrForeign with %q", tt.name, err, tt.want)
		}
	}
}

func TestOpenLocks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "ipam")
	s, err := Open(dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, testConfig()); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open error = %v, want ErrLocked", err)
	}
	want := mustLease(t, s, web)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, err = Open(dir, testConfig())
	if err != nil {
		t.Fatalf("Open after Close: %v", err)
	}
	defer s.Close()
	if got := mustLease(t, s, web); got != want {
		t.Errorf("Lease after reopening = %v, want %v", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	c := testConfig()
	c.Prefix = c.Prefix.Masked()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "ipam"), c); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Open below a file: error = %v, want ENOTDIR", err)
	}
	d := newMemDirectory()
	d.full = true
	if _, err := open(d, c); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("first open on a full disk: error = %v, want ENOSPC", err)
	}
	if _, err := d.read(journalName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it, the journal: %v, want fs.ErrNotExist", err)
	}
	c.Prefix = Subnet(c.Prefix)
	c.Prefix, _ = c.Prefix.Addr().Prefix(32)
	if _, err := Open(t.TempDir(), c); err == nil {
		t.Errorf("Open with %v: error = <nil>", c.Prefix)
	}
}

// "Full disk: the lease is not given, the error says so, and later calls work again when there is room."
func TestFullDisk(t *testing.T) {
	leaseLen := recordHead + 1 + 8 + 20 + 8 + len("dbeth0") + len(cni.Source) + len(cni.NetNS)
	for room := range leaseLen + 10 {
		d := newMemDirectory()
		s := openMem(t, d)
		want := mustLease(t, s, web)
		d.full, d.room = true, room
		_, err := s.lease6(epoch, db, cni, nil)
		if room >= leaseLen {
			if err != nil {
				t.Fatalf("Lease with room for %d bytes: %v", room, err)
			}
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room and try again") {
			t.Fatalf("Lease with room for %d bytes: error = %v, want ENOSPC", room, err)
		}
		if _, err := s.Release(epoch, web); room < 30 && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Release with room for %d bytes: error = %v, want ENOSPC", room, err)
		}
		if _, err := s.lease6(epoch, web, lxc, nil); room < 30 && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Lease for another holder with room for %d bytes: error = %v, want ENOSPC", room, err)
		}
		d.full = false
		again := openMem(t, d)
		if got := again.Leases(); room < 30 && (len(got) != 1 || got[0] != want) {
			t.Errorf("leases on disk after failing with room %d: %v, want %v", room, got, want)
		}
		mustLease(t, s, db)
	}
}

// A network whose disk is full must come up with the leases it has.
func TestOpenOnAFullDisk(t *testing.T) {
	d := newMemDirectory()
	want := mustLease(t, openMem(t, d), web)
	f := d.names[journalName]
	f.data = append(f.data, "torn"...)
	d.full = true
	s := openMem(t, d)
	if got := s.Leases(); len(got) != 1 || got[0] != want {
		t.Fatalf("Leases() = %v, want %v", got, want)
	}
	d.room = 0
	if _, err := s.lease6(epoch, db, cni, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Lease error = %v, want ENOSPC", err)
	}
	d.full = false
	mustLease(t, s, db)
	if got := openMem(t, d).Leases(); len(got) != 2 {
		t.Errorf("after restart Leases() = %v, want 2", got)
	}
}

// "A failed fsync poisons the store", and so does everything else after which the file's contents are unknown.
func TestPoison(t *testing.T) {
	tests := []struct {
		name string
		set  func(*memDirectory)
	}{
		{"fsync", func(d *memDirectory) { d.failSync = true }},
		{"truncate after a short write", func(d *memDirectory) { d.full, d.room, d.failTruncate = true, 20, true }},
	}
	for _, tt := range tests {
		d := newMemDirectory()
		s := openMem(t, d)
		want := mustLease(t, s, web)
		tt.set(d)
		_, first := s.lease6(epoch, db, cni, nil)
		d.failSync, d.full, d.failTruncate = false, false, false
		_, second := s.lease6(epoch, db, cni, nil)
		_, third := s.Release(epoch, web)
		_, fourth := s.lease6(epoch, web, lxc, nil)
		for i, err := range []error{first, second, third, fourth} {
			if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "restart meshd") {
				t.Errorf("%s: call %d: error = %v, want ErrFailed", tt.name, i+1, err)
			}
		}
		if got := mustLease(t, s, web); got != want {
			t.Errorf("%s: Lease of an attachment that has one = %v, want %v", tt.name, got, want)
		}
		if got := s.Leases(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: Leases() = %v, want %v", tt.name, got, want)
		}
	}
}

// After a failed fsync the kernel shows pages that are not on disk and calls them clean. A lease that is answered from what a
// restarted meshd read must survive the next power failure all the same.
func TestRestartAfterFailedSync(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	d.failSync = true
	if _, err := s.lease6(epoch, web, cni, nil); !errors.Is(err, ErrFailed) {
		t.Fatalf("Lease error = %v, want ErrFailed", err)
	}
	d.failSync = false
	want := mustLease(t, openMem(t, d), web)
	after := d.crash(rand.New(rand.NewPCG(1, 1)))
	if got := openMem(t, after).Leases(); len(got) != 1 || got[0] != want {
		t.Errorf("after restart, Lease and a power failure: Leases() = %v, want %v", got, want)
	}
}

func TestCompaction(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	want := mustLease(t, s, web)
	largest := 0
	for range 5000 {
		mustLease(t, s, db)
		mustRelease(t, s, db)
		largest = max(largest, len(d.names[journalName].data))
	}
	if limit := 3*minGarbage + maxRecord; largest > limit {
		t.Errorf("the journal of one lease grew to %d bytes, want at most %d", largest, limit)
	}
	if got := openMem(t, d).Leases(); len(got) != 1 || got[0] != want {
		t.Errorf("Leases() = %v, want %v", got, want)
	}
}

// Former holders are garbage too, and the last one is in the new file.
func TestCompactionOfHolders(t *testing.T) {
	d := newMemDirectory()
	s := openMem(t, d)
	want := mustLease(t, s, web)
	largest := 0
	for i := range 5000 {
		want.Holder = Holder{Source: "cni", NetNS: fmt.Sprint("/run/netns/", i)}
		if got, err := s.lease6(epoch.Add(time.Hour), web, want.Holder, nil); err != nil || got != want {
			t.Fatalf("Lease = %v, %v, want %v", got, err, want)
		}
		largest = max(largest, len(d.names[journalName].data))
	}
	if limit := 3*minGarbage + maxRecord; largest > limit {
		t.Errorf("the journal of one lease grew to %d bytes, want at most %d", largest, limit)
	}
	if got := openMem(t, d).Leases(); len(got) != 1 || got[0] != want {
		t.Errorf("Leases() = %v, want %v", got, want)
	}
}

func TestCompactionFailures(t *testing.T) {
	tests := []struct {
		name   string
		set    func(*memDirectory)
		poison bool
	}{
		{"rename", func(d *memDirectory) { d.failRename = true }, false},
		{"directory sync", func(d *memDirectory) { d.failDirSync = true }, true},
	}
	for _, tt := range tests {
		d := newMemDirectory()
		s := openMem(t, d)
		mustLease(t, s, web)
		tt.set(d)
		var err error
		for i := 0; i < 3000 && err == nil; i++ {
			if _, err = s.lease6(epoch, db, cni, nil); err == nil {
				_, err = s.Release(epoch, db)
			}
		}
		if got := errors.Is(err, ErrFailed); got != tt.poison || (err != nil && !tt.poison) {
			t.Errorf("%s fails while compacting: error = %v, want ErrFailed: %v", tt.name, err, tt.poison)
		}
		d.failRename, d.failDirSync = false, false
		if got := openMem(t, d).Leases(); len(got) == 0 || got[len(got)-1].Attachment != web {
			t.Errorf("%s fails while compacting: after restart %v, want web/eth0 among them", tt.name, got)
		}
	}
}
