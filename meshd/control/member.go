package control

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"meshnet/meshd/session"
)

// State is how a member is doing. Suspicion is memberlist's own affair: a suspect is alive until it is dead.
type State uint8

// The states of a member.
const (
	StateAlive State = iota + 1
	StateDead        // vanished; it may come back
	StateLeft        // said goodbye
)

// String returns "alive", "dead" or "left".
func (s State) String() string {
	switch s {
	case StateAlive:
		return "alive"
	case StateDead:
		return "dead"
	case StateLeft:
		return "left"
	}
	return "unknown"
}

// Member is a node of the network, this one included.
type Member struct {
	ID        session.NodeID
	Name      string
	Endpoints []netip.AddrPort // where it thinks it can be reached; not to be modified
	Instance  uint64           // when its meshd started: grows with each start
	Created   bool             // it created the network
	Relays    bool             // it relays datagrams between members that cannot reach each other
	State     State
	Since     time.Time // when State began, as seen from here
}

// Alive reports whether m's state is StateAlive.
func (m Member) Alive() bool { return m.State == StateAlive }

// Conflict is members that are alive and share one name. The first one has it; the others came later.
type Conflict struct {
	Name    string
	Members []Member // at least two, by instance
}

// conflicts returns the names that more than one member has, in order.
func conflicts(members []Member) []Conflict {
	byName := make(map[string][]Member)
	for _, m := range members {
		if m.Alive() {
			byName[m.Name] = append(byName[m.Name], m)
		}
	}
	var found []Conflict
	for name, ms := range byName {
		if len(ms) > 1 {
			slices.SortFunc(ms, func(a, b Member) int {
				return cmp.Or(cmp.Compare(a.Instance, b.Instance), slices.Compare(a.ID[:], b.ID[:]))
			})
			found = append(found, Conflict{Name: name, Members: ms})
		}
	}
	slices.SortFunc(found, func(a, b Conflict) int { return cmp.Compare(a.Name, b.Name) })
	return found
}
