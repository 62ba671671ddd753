package etcdstore

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"meshnet/ipam"
)

// "What it has already is passed over, so the watch, answers to refused transactions and own commits may come in any order."
func TestMirror(t *testing.T) {
	record := func(name, value string, rev int64) entry {
		return entry{key: recordsKey + name, value: []byte(value), rev: rev}
	}
	tests := []struct {
		name  string
		steps func(m *mirror) bool
		rev   int64
		want  map[string]string
	}{
		{"read, then the watch repeats", func(m *mirror) bool {
			ok := m.catchUp([]entry{record("a/1", "x", 3), record("a/2", "y", 4)}, 2, 7)
			m.follow([]entry{record("a/1", "old", 2), record("a/1", "x", 3)}, 3)
			return ok
		}, 7, map[string]string{"a/1": "x", "a/2": "y"}},
		{"watch overtaken by an own commit", func(m *mirror) bool {
			m.commit([]entry{record("a/1", "mine", 0)}, 9)
			m.follow([]entry{record("a/1", "before", 8), record("a/2", "other", 8)}, 8)
			return m.records.Len() == 2
		}, 8, map[string]string{"a/1": "mine", "a/2": "other"}},
		{"own commit does not hide what others wrote before it", func(m *mirror) bool {
			m.catchUp(nil, 0, 5)
			m.commit([]entry{record("a/1", "mine", 0)}, 9)
			return m.catchUp([]entry{record("a/1", "mine", 9), record("a/2", "other", 7)}, 2, 9)
		}, 9, map[string]string{"a/1": "mine", "a/2": "other"}},
		{"answer older than an own commit", func(m *mirror) bool {
			m.catchUp(nil, 0, 5)
			m.commit([]entry{record("a/1", "mine", 0)}, 9)
			return m.catchUp(nil, 0, 8)
		}, 8, map[string]string{"a/1": "mine"}},
		{"keys have gone", func(m *mirror) bool {
			m.catchUp([]entry{record("a/1", "x", 3), record("a/2", "y", 4)}, 2, 7)
			return !m.catchUp(nil, 1, 8)
		}, 8, map[string]string{"a/1": "x", "a/2": "y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror()
			if !tt.steps(m) {
				t.Error("catchUp misjudges whether keys were deleted")
			}
			got := map[string]string{}
			for key, value := range m.Range("a/") {
				got[key] = string(value)
			}
			if m.rev != tt.rev || !maps.Equal(got, tt.want) {
				t.Errorf("mirror = %v at %d, want %v at %d", got, m.rev, tt.want, tt.rev)
			}
		})
	}
}

// "So no clock that is wrong or jumps ends a deadline early": want is how far the stamps move, seen from noon at the first command.
func TestClock(t *testing.T) {
	boot := time.Now() // for its monotonic reading
	noon := boot.Round(0)
	var c clock
	steps := []struct {
		name        string
		passed, off time.Duration // by the monotonic clock; the wall clock's error
		heard       time.Duration // the registry's time after the command, from noon
		want        time.Duration
	}{
		{"the first command counts by the wall clock", 0, 0, 0, 0},
		{"an hour later", time.Hour, 0, time.Hour, time.Hour},
		{"the wall clock falls back by a year: time goes on", 2 * time.Hour, -365 * 24 * time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"it is a little ahead: not followed", 3 * time.Hour, 30 * time.Second, 3 * time.Hour, 3 * time.Hour},
		{"it was set forward by a day: one step", 4 * time.Hour, 24 * time.Hour, 28 * time.Hour, 28 * time.Hour},
		{"it jumps again within a day: no step", 5 * time.Hour, 99 * time.Hour, 29 * time.Hour, 29 * time.Hour},
		{"another node is an hour ahead", 6 * time.Hour, 0, 31 * time.Hour, 30 * time.Hour},
		{"it is followed", 7 * time.Hour, 0, 32 * time.Hour, 32 * time.Hour},
		{"a day after the step, one more", 29 * time.Hour, 99 * time.Hour, 128 * time.Hour, 128 * time.Hour},
	}
	for _, s := range steps {
		now := boot.Add(s.passed) // moves both clocks
		if got := c.stampAt(now, noon.Add(s.passed+s.off)).Sub(noon); got != s.want {
			t.Errorf("%s: stamp = noon + %v, want + %v", s.name, got, s.want)
		}
		c.hear(now, noon.Add(s.heard))
	}
}

func TestExplain(t *testing.T) {
	at := Address{Endpoints: []string{"a:1", "b:2"}}
	const dialing = `last connection error: connection error: desc = "transport: `
	tests := []struct {
		name  string
		err   error
		want  string
		final bool
	}{
		{"quota", rpctypes.ErrGRPCNoSpace, "etcd's database is full (NOSPACE)", true},
		{"no majority", rpctypes.ErrNoLeader, "etcd has no leader: most of its members are down or cut off", false},
		{"compacted", rpctypes.ErrGRPCCompacted, "etcd has compacted away", false},
		{"no answer", context.DeadlineExceeded, "etcd at a:1, b:2 does not answer in time", false},
		{"refused", status.Error(codes.Unavailable, dialing+`Error while dialing: dial tcp 10.0.0.1:1: connect: connection refused"`),
			"etcd at a:1, b:2 cannot be reached: dial tcp 10.0.0.1:1: connect: connection refused", false},
		{"expired", status.Error(codes.Unavailable, dialing+`authentication handshake failed: tls: failed to verify certificate: `+
			`x509: certificate has expired or is not yet valid"`),
			"etcd at a:1, b:2 has a certificate that is not to be trusted: certificate has expired or is not yet valid", true},
		{"something else", errors.New("boom"), "etcd at a:1, b:2 fails: boom", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := explain(tt.err, at)
			if !errors.Is(got, ipam.ErrNoStore) || !errors.Is(got, tt.err) {
				t.Errorf("explain(%v) = %v, want it to wrap ErrNoStore and the cause", tt.err, got)
			}
			if !strings.HasPrefix(got.Error(), "no block store: "+tt.want) || got.final != tt.final {
				t.Errorf("explain(%v) = %v (final %v), want %q (final %v)", tt.err, got, got.final, tt.want, tt.final)
			}
		})
	}
}
