package raftstore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The situation is written as words: v voter, L leader (a voter), c copy, ready; n alive member that is no server.
// After the letter: "-" silent for longer than replace, "--" for longer than shrink, "x" gone for good, "?" not ready,
// "!" a member that is alive too short a time, "<" about to leave.
func parseSituation(text string, now time.Time, times planTimes) (servers []planServer, nodes []planNode) {
	for i, word := range strings.Fields(text) {
		id := serverID{node: [32]byte{byte(i + 1)}, incarnation: 1}
		if word[0] == 'n' {
			since := now.Add(-times.stable - time.Duration(i))
			if strings.HasSuffix(word, "!") {
				since = now
			}
			nodes = append(nodes, planNode{id.node, since})
			continue
		}
		s := planServer{server: id, voter: word[0] != 'c', leader: word[0] == 'L', ready: true, heard: now}
		switch word[1:] {
		case "-":
			s.heard, s.ready = now.Add(-times.replace), false
		case "--":
			s.heard, s.ready = now.Add(-times.shrink), false
		case "x":
			s.gone = true
		case "?":
			s.ready = false
		case "<":
			s.leaving = true
		}
		servers = append(servers, s)
	}
	return servers, nodes
}

func TestPlan(t *testing.T) {
	times := planTimes{stable: 10 * time.Second, replace: time.Minute, shrink: 10 * time.Minute}
	now := time.Unix(1000000, 0)
	for _, tt := range []struct{ name, situation, want string }{
		{"alone", "L", "none"},
		{"a second node copies", "L n", "enlist 2"},
		{"at once: the only voter may be lost", "L n!", "enlist 2"},
		{"more copies not before they have been alive for a while", "L c n!", "none"},
		{"two nodes have one voter", "L c", "none"},
		{"a third node copies first", "L c n", "enlist 3"},
		{"one more voter alone would be a burden", "L c c?", "none"},
		{"from one to three voters", "L c c", "promote 2"},
		{"the third at once", "L v c", "promote 3"},
		{"three voters", "L v v", "none"},
		{"the fourth copies", "L v v n", "enlist 4"},
		{"four nodes have three voters", "L v v c", "none"},
		{"five nodes have five voters", "L v v c c", "promote 4"},
		{"the fifth at once", "L v v v c", "promote 5"},
		{"two copies more", "L v v v v c n", "enlist 7"},
		{"the rest are clients", "L v v v v c c n n n", "none"},
		{"the longest alive serves", "L n! n n", "enlist 4"},
		{"a dead voter makes room for a spare", "L v v- c", "remove 3"},
		{"and the spare takes it", "L v c n", "promote 3"},
		{"the longest dead goes first", "L v- v-- v v c c", "remove 3"},
		{"without a spare one is looked for", "L v v- n", "enlist 4"},
		{"two that stay wait for the third", "L v v--", "none"},
		{"of five, a dead one may come back", "L v v v v-", "none"},
		{"of five, a dead one is given up after a while", "L v v v v--", "remove 5"},
		{"and the four become three and a spare", "L v v v", "demote 4"},
		{"three of five alive", "L v v v-- v--", "remove 4"},
		{"three of four alive", "L v v v--", "remove 4"},
		{"who left goes at once", "L v vx", "remove 3"},
		{"of two, one votes", "L v", "demote 2"},
		{"the leader keeps its vote", "v L", "demote 1"},
		{"a silent copy goes", "L v v c-", "remove 4"},
		{"a copy in excess goes", "L v v v v c c c", "remove 8"},
		{"no vote for who lags", "L v c?", "none"},
		{"the only one has nobody to hand over to", "L<", "none"},
		{"nor before the other has a copy", "L< n!", "enlist 2"},
		{"nor while that lags", "L< c?", "none"},
		{"a copy gets the vote first", "L< c", "promote 2"},
		{"then the lead", "L< v", "transfer 2"},
		{"then the first goes", "v< L", "remove 1"},
		{"of three, the leader leaves: one voter is left", "L< v v", "demote 3"},
		{"of three, another leaves", "L v< v", "demote 3"},
		{"a voter that is not ready is given up first", "L< v? v", "demote 2"},
		{"a dead one does not keep who leaves", "L< v v--", "demote 3"},
		{"but nobody is left behind without a majority", "L< v? v?", "none"},
		{"and nobody who cannot lead", "L< v?", "none"},
		{"of four, the copy takes over", "L v< v c", "promote 4"},
		{"and is waited for", "L v< v c?", "none"},
		{"of four, one that is new", "L v< v n!", "enlist 4"},
		{"then who leaves is out", "L v< v v", "remove 2"},
		{"of five, four are left, so three voters", "L< v v v v", "demote 5"},
		{"two leave", "L< v< v v v", "remove 2"},
		{"a copy that leaves", "L v v c<", "remove 4"},
	} {
		servers, nodes := parseSituation(tt.situation, now, times)
		got := plan(now, times, servers, nodes)
		text := got.kind.String()
		if got.kind != stepNone {
			text += fmt.Sprintf(" %d", got.server.node[0])
		}
		if text != tt.want {
			t.Errorf("%s: plan(%s) = %s, want %s", tt.name, tt.situation, text, tt.want)
		}
	}
}

// Whatever the situation, no step costs the majority, the plan comes to rest, and then the voters are few and odd in number
// unless one is awaited.
func TestPlanConverges(t *testing.T) {
	times := planTimes{stable: 10 * time.Second, replace: time.Minute, shrink: 10 * time.Minute}
	now := time.Unix(1000000, 0)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		words := []string{"L"}
		for range r.IntN(maxVoters + 1) {
			words = append(words, []string{"v", "v", "v--", "v-", "vx"}[r.IntN(5)])
		}
		for range r.IntN(8) {
			words = append(words, []string{"c", "c?", "c-", "n"}[r.IntN(4)])
		}
		situation := strings.Join(words, " ")
		servers, nodes := parseSituation(situation, now, times)
		if !majority(now, times, servers) {
			continue
		}
		steps := 0
		for ; steps < 50; steps++ {
			do := plan(now, times, servers, nodes)
			if do.kind == stepNone {
				if !catchUp(now, times, servers) {
					break
				}
				continue
			}
			servers, nodes = apply(now, do, servers, nodes)
			if !majority(now, times, servers) {
				t.Fatalf("seed %d: %s: no majority after %v %d", seed, situation, do.kind, do.server.node[0])
			}
		}
		if steps == 50 {
			t.Fatalf("seed %d: %s: the plan does not come to rest", seed, situation)
		}
		voters, dead := 0, 0
		for _, s := range servers {
			if s.voter {
				voters++
				if now.Sub(s.heard) >= times.replace {
					dead++
				}
			}
		}
		if voters > maxVoters || voters%2 == 0 && dead == 0 {
			t.Errorf("seed %d: %s: %d voters in the end, %d dead", seed, situation, voters, dead)
		}
	}
}

// Whoever leaves, however many at once: no step costs the majority, and if one of those that stay is sound, all are out in the end
// and an odd number of voters goes on, the silent ones aside.
func TestPlanReleases(t *testing.T) {
	times := planTimes{stable: 10 * time.Second, replace: time.Minute, shrink: 10 * time.Minute}
	now := time.Unix(1000000, 0)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		words := []string{[]string{"L", "L<", "L<"}[r.IntN(3)]}
		for range r.IntN(maxVoters + 1) {
			words = append(words, []string{"v", "v", "v<", "v?", "v--", "v-"}[r.IntN(6)])
		}
		for range r.IntN(6) {
			words = append(words, []string{"c", "c?", "c<", "n"}[r.IntN(4)])
		}
		situation := strings.Join(words, " ")
		servers, nodes := parseSituation(situation, now, times)
		if !majority(now, times, servers) || !strings.ContainsAny(strings.ReplaceAll(situation, "<", ""), "vcn") {
			continue
		}
		steps := 0
		for ; steps < 50; steps++ {
			do := plan(now, times, servers, nodes)
			if do.kind == stepNone && !catchUp(now, times, servers) {
				break
			}
			if servers, nodes = apply(now, do, servers, nodes); !majority(now, times, servers) {
				t.Fatalf("seed %d: %s: no majority after %v %d", seed, situation, do.kind, do.server.node[0])
			}
		}
		voters, leaving, live := 0, 0, 0
		for _, s := range servers {
			if s.leaving {
				leaving++
			} else if now.Sub(s.heard) < times.replace {
				live++
			}
			if s.voter {
				voters++
			}
		}
		if steps == 50 || live > 0 && (leaving > 0 || voters%2 == 0) {
			t.Errorf("seed %d: %s: %d servers are still leaving, %d voters, %d others are alive", seed, situation, leaving, voters, live)
		}
	}
}

// catchUp makes copies ready and the silent silent for longer; it reports whether there were any.
func catchUp(now time.Time, times planTimes, servers []planServer) (changed bool) {
	for i := range servers {
		s := &servers[i]
		if silent := now.Sub(s.heard) >= times.replace; !silent && !s.ready {
			s.ready, changed = true, true
		} else if silent && now.Sub(s.heard) < times.shrink {
			s.heard, changed = now.Add(-times.shrink), true
		}
	}
	return changed
}

// majority reports whether a majority of the voters answers.
func majority(now time.Time, times planTimes, servers []planServer) bool {
	voters, up := 0, 0
	for _, s := range servers {
		if s.voter {
			voters++
			if !s.gone && now.Sub(s.heard) < times.replace {
				up++
			}
		}
	}
	return up > voters/2
}

// apply does what the leader does.
func apply(now time.Time, do step, servers []planServer, nodes []planNode) ([]planServer, []planNode) {
	var out []planServer
	for _, s := range servers {
		if s.server == do.server {
			switch do.kind {
			case stepRemove:
				continue
			case stepPromote:
				s.voter = true
			case stepDemote:
				s.voter = false
			}
		}
		if do.kind == stepTransfer {
			s.leader = s.server == do.server
		}
		out = append(out, s)
	}
	var rest []planNode
	for _, n := range nodes {
		if do.kind == stepEnlist && n.node == do.server.node {
			out = append(out, planServer{server: serverID{n.node, 1}, heard: now, ready: true})
			continue
		}
		rest = append(rest, n)
	}
	return out, rest
}
