package session

import (
	"net/netip"
	"time"

	"meshnet/meshd/wire"
)

// Event is something that happened in a Machine: Established, Moved, Lost, Closed, DuplicateIdentity, SelfEndpoint or
// ClockSkew.
type Event interface{ event() }

// Established says that a session has a new keypair. If Rekey is false the session is new, and takes the place of the
// one that the peer had before it restarted, if any: of that there is no Lost.
type Established struct {
	Session  *Session
	Endpoint wire.Endpoint  // where the peer is
	Observed netip.AddrPort // how the peer sees us; zero if it does not say
	Rekey    bool
	Took     time.Duration // since the first message 1 of this handshake was sent, or the one answered was received
}

// Moved says that the path of a session has become another one: direct instead of through a relay, through a relay, or through
// another relay.
type Moved struct {
	Session  *Session
	From, To wire.Endpoint
}

// Lost says that a session has ended because the peer is not heard any more. The machine tries again if it is wanted.
type Lost struct {
	ID     NodeID
	Reason LostReason
}

// LostReason says why a session was lost.
type LostReason uint8

// The reasons of Lost.
const (
	LostSilent      LostReason = iota + 1 // nothing was heard for LostTimeout
	LostUnconfirmed                       // nothing ever came under the session's first keypair
	LostExpired                           // the keypair reached RejectAfterTime and no new one was agreed
)

// String returns the reason in words.
func (r LostReason) String() string {
	switch r {
	case LostSilent:
		return "silent"
	case LostUnconfirmed:
		return "handshake not confirmed"
	case LostExpired:
		return "keys expired"
	}
	return "unknown"
}

// Closed says that the peer has ended the session. The machine tries again if the peer is wanted.
type Closed struct {
	ID     NodeID
	Reason wire.CloseReason
}

// DuplicateIdentity says that two nodes use the same static key: ID is a peer's, of which an instance older than the
// newest known has appeared at Endpoint, or our own, used by another instance at Endpoint.
type DuplicateIdentity struct {
	ID       NodeID
	Endpoint wire.Endpoint
	Instance uint64 // of the node at Endpoint
}

// SelfEndpoint says that we are the node at Endpoint. It is not tried again for some time.
type SelfEndpoint struct{ Endpoint wire.Endpoint }

// ClockSkew says that a member's clock, or ours, is so wrong that handshakes are refused. There is at most one in a
// minute.
type ClockSkew struct {
	Endpoint wire.Endpoint
	Skew     time.Duration // the member's clock less ours
}

func (Established) event()       {}
func (Moved) event()             {}
func (Lost) event()              {}
func (Closed) event()            {}
func (DuplicateIdentity) event() {}
func (SelfEndpoint) event()      {}
func (ClockSkew) event()         {}
