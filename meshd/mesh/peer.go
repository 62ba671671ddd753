package mesh

import (
	"sync/atomic"

	"meshnet/meshd/session"
)

// peer is a port of the switch: another node, or what is behind the TAP.
type peer struct {
	id    session.NodeID
	local bool // the TAP

	session atomic.Pointer[session.Session] // nil while there is none
	full    atomic.Bool                     // no more MACs are learned from it

	learned, static int // entries of the fdb; owned by control
}

// peerSet is the peers that have a session. It does not change once published.
type peerSet struct {
	all       []*peer
	bySession map[*session.Session]*peer
}
