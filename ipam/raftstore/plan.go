package raftstore

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

const (
	// maxVoters is how many servers vote at most: five survive two deaths at once, and more only make commits slower.
	maxVoters = 5
	// maxSpares is how many servers copy without a vote, so that a dead voter is replaced by one that has the data.
	maxSpares = 2
	// maxServers bounds what a configuration may hold, changes under way included.
	maxServers = 2 * (maxVoters + maxSpares)
)

// planTimes are how long the plan waits before it believes what it sees.
type planTimes struct {
	stable  time.Duration // a member is alive for so long before it is made a copy
	replace time.Duration // a server is silent for so long before a spare takes its place
	shrink  time.Duration // a voter is silent for so long before it is given up without a replacement
}

// planServer is a server of raft's configuration as its leader sees it.
type planServer struct {
	server serverID
	voter  bool
	leader bool      // this node
	ready  bool      // it answers and its log has nearly all that the leader's has
	heard  time.Time // when it last answered; the leader: now
	gone   bool      // its node left, was removed, or is now another incarnation: it will never answer again

	leaving bool // its node waits to be no server any more, and then leaves
}

// planNode is an alive member that is no server.
type planNode struct {
	node  [32]byte
	since time.Time // alive since
}

// step is one change of the configuration. The plan is made anew after each.
type step struct {
	kind   stepKind
	server serverID // for enlist only the node is set
	why    string
}

type stepKind uint8

const (
	stepNone     stepKind = iota
	stepEnlist            // ask the node to become a copy, and add it
	stepPromote           // give a copy a vote
	stepDemote            // take a voter's vote
	stepRemove            // take a server out
	stepTransfer          // have a voter lead
)

// String returns the change as a verb.
func (k stepKind) String() string {
	return [...]string{"none", "enlist", "promote", "demote", "remove", "transfer"}[k]
}

// wantVoters returns how many voters n alive nodes should have. It is odd: an even number needs one more for a majority
// and survives no more deaths than the odd number below it.
func wantVoters(n int) int {
	switch {
	case n >= maxVoters:
		return maxVoters
	case n >= 3:
		return 3
	}
	return 1
}

// plan returns the next change, or stepNone. nodes are the alive members that are no servers.
//
// The rules, in order: who will never answer again goes; a dead voter makes room for a spare that is ready; a dead voter is
// given up where fewer voters survive more; voters in excess become copies; copies become voters, by twos, as one more
// voter alone would be a burden; alive members become copies. Voters are never given up below three for being silent: two
// that come back must find a majority with the third. Who leaves does not count for how many voters there should be, keeps its
// vote until the others do without it, and hands over the lead; then silent voters are not waited for.
func plan(now time.Time, t planTimes, servers []planServer, nodes []planNode) step {
	v := survey(now, t, servers, nodes)
	for _, rule := range []func(*view) step{(*view).removeGone, (*view).replaceDead, (*view).shrink, (*view).demote,
		(*view).promote, (*view).release, (*view).removeSpare, (*view).enlist} {
		if s := rule(&v); s.kind != stepNone {
			return s
		}
	}
	return step{}
}

// view is the situation sorted for the rules. Slices are ordered: the first is the one to act on.
type view struct {
	now    time.Time
	times  planTimes
	gone   []planServer
	voters []planServer // not gone
	dead   []planServer // voters silent for replace
	spares []planServer // copies that answer
	ready  []planServer // spares that could vote
	silent []planServer // copies silent for replace
	nodes  []planNode
	want   int // voters

	leaving []planServer // not gone, and in none of the others
}

func survey(now time.Time, t planTimes, servers []planServer, nodes []planNode) view {
	v := view{now: now, times: t, nodes: slices.Clone(nodes)}
	alive := len(nodes)
	for _, s := range servers {
		silent := now.Sub(s.heard) >= t.replace && !s.leader
		switch {
		case s.gone:
			v.gone = append(v.gone, s)
			continue
		case s.leaving:
			v.leaving = append(v.leaving, s)
			continue
		case s.voter:
			v.voters = append(v.voters, s)
			if silent {
				v.dead = append(v.dead, s)
			}
		case silent:
			v.silent = append(v.silent, s)
		default:
			v.spares = append(v.spares, s)
			if s.ready {
				v.ready = append(v.ready, s)
			}
		}
		if !silent {
			alive++
		}
	}
	slices.SortFunc(v.dead, func(a, b planServer) int { return a.heard.Compare(b.heard) })
	slices.SortFunc(v.nodes, func(a, b planNode) int { // the longest alive is the most likely to stay
		return cmp.Or(a.since.Compare(b.since), bytes.Compare(a.node[:], b.node[:]))
	})
	v.want = wantVoters(alive)
	return v
}

func (v *view) removeGone() step {
	if len(v.gone) == 0 {
		return step{}
	}
	return step{stepRemove, v.gone[0].server, "it is gone for good"}
}

func (v *view) replaceDead() step {
	if len(v.dead) == 0 || len(v.ready) == 0 {
		return step{}
	}
	return step{stepRemove, v.dead[0].server, "it is silent and a spare is ready"}
}

func (v *view) shrink() step {
	if len(v.dead) == 0 || len(v.voters) <= max(v.want, 3) || v.now.Sub(v.dead[0].heard) < v.times.shrink {
		return step{}
	}
	return step{stepRemove, v.dead[0].server, "it is silent and the others are safer without it"}
}

// demote takes a vote from who is not the leader, the last in the configuration's order, best from one that is silent or not
// ready. Dead voters are waited for, but not by who leaves.
func (v *view) demote() step {
	if len(v.voters) <= v.want || len(v.dead) > 0 && len(v.leaving) == 0 {
		return step{}
	}
	if len(v.leaving) > 0 && len(v.live()) == 0 {
		return step{} // nobody can take over
	}
	var least *planServer
	for i := range slices.Backward(v.voters) {
		s := &v.voters[i]
		if !s.leader && (least == nil || !s.ready && (least.ready || s.heard.Before(least.heard))) {
			least = s
		}
	}
	if least == nil {
		return step{}
	}
	return step{stepDemote, least.server, "there are more voters than needed"}
}

func (v *view) promote() step {
	missing := v.want - len(v.voters)
	if len(v.dead) > 0 || missing <= 0 || len(v.ready) == 0 {
		return step{}
	}
	if len(v.voters)%2 == 1 && len(v.ready) < 2 {
		return step{} // an even number of voters would be left
	}
	return step{stepPromote, v.ready[0].server, "there are fewer voters than needed"}
}

// release takes out who leaves, unless the voters that stay could not decide without it, or their number is even and a copy
// about to make it odd.
func (v *view) release() step {
	for _, s := range v.leaving {
		if !s.voter {
			return step{stepRemove, s.server, "it leaves"}
		}
	}
	if len(v.voters)%2 == 0 && len(v.voters) < v.want && len(v.spares)+len(v.nodes) > 0 {
		return step{}
	}
	live := v.live()
	if len(v.leaving) == 0 || 2*len(live) <= len(v.voters) {
		return step{}
	}
	for _, s := range v.leaving {
		if !s.leader {
			return step{stepRemove, s.server, "it leaves"}
		}
	}
	return step{stepTransfer, live[0].server, "the leader leaves"}
}

// live returns the voters that stay and could lead.
func (v *view) live() (live []planServer) {
	for _, s := range v.voters {
		if s.ready || s.leader {
			live = append(live, s)
		}
	}
	return live
}

// removeSpare removes copies that are silent or in excess.
func (v *view) removeSpare() step {
	if len(v.silent) > 0 {
		return step{stepRemove, v.silent[0].server, "it is a copy and silent"}
	}
	if len(v.voters) >= v.want && len(v.spares) > maxSpares {
		return step{stepRemove, v.spares[len(v.spares)-1].server, "there are more copies than needed"}
	}
	return step{}
}

// enlist looks for copies; at once for the first one, who can go on if the only voter is lost, and while somebody leaves.
func (v *view) enlist() step {
	if len(v.voters)-len(v.dead)+len(v.spares) >= v.want+maxSpares {
		return step{}
	}
	hurry := len(v.voters)+len(v.spares) <= 1 || len(v.leaving) > 0
	for _, n := range v.nodes {
		if hurry || v.now.Sub(n.since) >= v.times.stable {
			return step{stepEnlist, serverID{node: n.node}, "there are fewer copies than needed"}
		}
	}
	return step{}
}
