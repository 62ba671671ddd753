package control

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"meshnet/meshd/control/neighbour"
)

// A packet is one simple message or a compound of simple ones, perhaps after a checksum.
func TestPlain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		packet string
		want   bool
	}{
		{"ping", "\x00\x80", true},
		{"user message", "\x08x", true},
		{"alive after a checksum", "\x0c1234\x04\x80", true},
		{"compound of two", "\x07\x02\x00\x01\x00\x02\x05\x04x", true},
		{"compound of none", "\x07\x00", true},
		{"nothing", "", false},
		{"push/pull", "\x06", false},
		{"compressed", "\x09\x80", false},
		{"encrypted", "\x0a", false},
		{"labelled", "\xf4\x01a\x00", false},
		{"checksum of nothing", "\x0c1234", false},
		{"two checksums", "\x0c1234\x0c1234\x00", false},
		{"compressed in a compound", "\x07\x01\x00\x01\x09", false},
		{"compound in a compound", "\x07\x01\x00\x02\x07\x00", false},
		{"empty message in a compound", "\x07\x01\x00\x00", false},
		{"compound cut short", "\x07\x02\x00\x01\x00\x02\x05\x04", false},
		{"lengths cut short", "\x07\x02\x00\x01", false},
	} {
		if got := plain([]byte(tt.packet)); got != tt.want {
			t.Errorf("%s: plain = %v, want %v", tt.name, got, tt.want)
		}
	}
	if !plain(probe) {
		t.Error("the probe is not plain")
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x07\x02\x00\x01\x00\x02\x05\x04x"))
	f.Fuzz(func(t *testing.T, b []byte) { plain(b) }) // never reads beyond
}

// What no honest member says of a member is not believed, nor is old news.
func TestNotifyAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNetwork(t, 1)
		a := net.start("a", 1)
		b := testID("b")
		say := func(change func(n *memberlist.Node)) error {
			n := &memberlist.Node{Name: b.String(), Addr: memberAddr(b).AsSlice(), Port: memberPort,
				Meta: meta{name: "b", instance: 5}.append(nil),
				PMin: 1, PMax: 5, PCur: 2, DMin: 1, DMax: 1, DCur: 1}
			change(n)
			return a.delegate().NotifyAlive(n)
		}
		for name, tt := range map[string]struct {
			change func(n *memberlist.Node)
			want   error
		}{
			"honest":                {func(*memberlist.Node) {}, nil},
			"another address":       {func(n *memberlist.Node) { n.Addr[3]++ }, errNotItsAddress},
			"another port":          {func(n *memberlist.Node) { n.Port = 22 }, errNotItsAddress},
			"later protocol":        {func(n *memberlist.Node) { n.PCur = 3 }, errIncompatible},
			"later data":            {func(n *memberlist.Node) { n.DMin, n.DMax, n.DCur = 2, 2, 2 }, errIncompatible},
			"no data":               {func(n *memberlist.Node) { n.Meta = nil }, errMetaShort},
			"understands later too": {func(n *memberlist.Node) { n.PMax, n.DMax = 9, 9 }, nil},
		} {
			if err := say(tt.change); !errors.Is(err, tt.want) {
				t.Errorf("%s: NotifyAlive error = %v, want %v", name, err, tt.want)
			}
		}
		if err := say(func(n *memberlist.Node) { n.Name = strings.ToUpper(n.Name) }); err == nil {
			t.Error("a name in upper case is a second name of one node")
		}
		a.mu.Lock()
		a.roster.up(time.Now(), b, meta{name: "b", instance: 6})
		a.mu.Unlock()
		if err := say(func(*memberlist.Node) {}); !errors.Is(err, errOldInstance) {
			t.Errorf("an older instance: NotifyAlive error = %v, want %v", err, errOldInstance)
		}
		a.handleMessage(neighbour.Left{Owner: b, Epoch: 6}.Append(nil))
		if err := say(func(*memberlist.Node) {}); !errors.Is(err, errHasLeft) {
			t.Errorf("an instance that left: NotifyAlive error = %v, want %v", err, errHasLeft)
		}
	})
}

func TestParseLogLine(t *testing.T) {
	for line, want := range map[string]struct {
		level slog.Level
		text  string
	}{
		"[DEBUG] memberlist: Stream connection from=x\n": {slog.LevelDebug, "Stream connection from=x"},
		"[WARN] memberlist: Refuting\n":                  {slog.LevelDebug, "Refuting"},
		"[ERR] memberlist: failed [sic] to\n":            {slog.LevelInfo, "failed [sic] to"},
		"[ERR] Failed to shutdown transport: x\n":        {slog.LevelInfo, "Failed to shutdown transport: x"},
		"Err: Could not set the deadline: x\n":           {slog.LevelInfo, "Err: Could not set the deadline: x"},
		"[odd] line":                                     {slog.LevelInfo, "[odd] line"},
		"":                                               {slog.LevelInfo, ""},
	} {
		if level, text := parseLogLine([]byte(line)); level != want.level || text != want.text {
			t.Errorf("parseLogLine(%q) = %v, %q, want %v, %q", line, level, text, want.level, want.text)
		}
	}
}

// A peer's broken packets do not fill the log.
func TestLogIsBounded(t *testing.T) {
	var out strings.Builder
	var c Counters
	a := &logAdapter{log: slog.New(slog.NewTextHandler(&out, nil)), dropped: &c.LogsDropped}
	for range 100 {
		_, _ = a.Write([]byte("[ERR] memberlist: broken\n")) // never fails
	}
	if got := strings.Count(out.String(), "broken"); got != logBurst || c.LogsDropped.Load() != 100-logBurst {
		t.Errorf("lines = %d, dropped = %d, want %d and the rest", got, c.LogsDropped.Load(), logBurst)
	}
}

// The exchange of states is planned once, by the newer node at once, and repeated more and more seldom.
func TestIntroductions(t *testing.T) {
	start := time.Unix(1e9, 0)
	in := newIntroductions()
	a, b := testID("a"), testID("b")
	in.met(start, a, true)
	in.met(start, b, false)
	if got := in.take(start); len(got) != 1 || got[0] != a {
		t.Errorf("take at once = %v, want a", got)
	}
	if !in.start(a) || len(in.take(start)) != 0 {
		t.Error("an exchange under way is started again")
	}
	in.met(start, a, true) // rekeyed meanwhile
	if len(in.take(start)) != 0 {
		t.Error("an exchange under way is started again by Met")
	}
	if got := in.take(start.Add(politeDelay)); len(got) != 1 || got[0] != b {
		t.Errorf("take after the polite delay = %v, want b", got)
	}
	now := start
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		in.finish(now, a, false)
		wait := in.pending[a].due.Sub(now)
		if want *= time.Second; wait < want*3/4 || wait > want*5/4 {
			t.Errorf("after failure %d the next exchange is in %v, want %v more or less a quarter", i+1, wait, want)
		}
		now = in.pending[a].due
		in.start(a)
	}
	for i := range byte(maxJoins) {
		id := testID(string([]byte{'x', i}))
		in.met(now, id, true)
		if got := in.start(id); got != (i < maxJoins-1) {
			t.Errorf("start of exchange %d = %v, at most %d run at once", i+2, got, maxJoins)
		}
	}
	if !in.next().IsZero() {
		t.Error("next says when, though there is no room")
	}
}

// The fetches that one gap causes among many members are spread; a goal is given up after some attempts.
func TestFetches(t *testing.T) {
	start := time.Unix(1e9, 0)
	f := newFetches()
	goal := neighbour.Mark{Owner: testID("a"), Epoch: 1, Version: 5}
	f.gap(start, goal, 30)
	if len(f.take(start.Add(gapDelay-1))) != 0 {
		t.Error("a gap is fetched before gossip had time to fill it")
	}
	later := start.Add(gapDelay + 30*spreadPerMember)
	if got := f.take(later); len(got) != 1 || got[0].goal != goal {
		t.Errorf("take = %v, want the goal", got)
	}
	attempts := 0
	for len(f.pending) > 0 {
		f.finish(later, goal.Owner, false)
		attempts++
		if p := f.pending[goal.Owner]; p != nil {
			later = p.due
			f.take(later)
		}
	}
	if attempts != maxFetchAttempts {
		t.Errorf("attempts = %d, want %d", attempts, maxFetchAttempts)
	}
	f.gap(start, goal, 1)
	f.held(start, goal, testID("b"))
	if got := f.take(start); len(got) != 1 || got[0].holder != testID("b") {
		t.Errorf("take = %v, want a fetch from b at once", got)
	}
}
