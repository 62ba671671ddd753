package wire

import (
	"encoding/hex"
	"net/netip"
	"unique"
)

// Relayed datagrams (docs/protocol.md, "Relays").
const (
	RelayIDLen = 32 // bytes of the node ID in front of the datagram
	// RelayOverhead is what the way through a relay adds to a datagram.
	RelayOverhead = RelayIDLen + Overhead
)

// ParseRelay splits the payload of a Relay or Relayed message into the node ID of the other end, the destination in a Relay and the
// origin in a Relayed, and the datagram, which is part of payload. The error is ErrShort, or ErrType if the datagram is none that may
// go through a relay: it is relayed itself.
func ParseRelay(payload []byte) (id [RelayIDLen]byte, datagram []byte, err error) {
	// Node ID (32), and the shortest datagram there is: a sealed message without payload.
	if len(payload) < RelayIDLen+Overhead {
		return id, nil, ErrShort
	}
	datagram = payload[RelayIDLen:]
	switch t := Type(datagram[0]); t {
	case TypeRelay, TypeRelayed:
		return id, nil, ErrType
	}
	return [RelayIDLen]byte(payload), datagram, nil
}

// AppendRelay appends the payload of a Relay or Relayed message to dst.
func AppendRelay(dst []byte, id [RelayIDLen]byte, datagram []byte) []byte {
	return append(append(dst, id[:]...), datagram...)
}

// Endpoint is one way to reach a peer: its address, and which of our sockets to send from; or a member that relays to it, and its node
// ID. It is comparable.
type Endpoint struct {
	Addr   netip.AddrPort // address is always Unmap()ed: an IPv4 address is never written as IPv4-in-IPv6; zero if relayed
	Socket uint8          // 0 = any socket of the address's family, n = the daemon's n-th listening socket
	hop    unique.Handle[Hop]
}

// Hop is the way through a relay. Both are node IDs.
type Hop struct {
	Via  [RelayIDLen]byte // who relays
	Peer [RelayIDLen]byte // who is reached
}

// Through returns the endpoint of a peer that is reached through a relay.
func Through(h Hop) Endpoint { return Endpoint{hop: unique.Make(h)} }

// Relayed reports whether the endpoint is one of Through.
func (e Endpoint) Relayed() bool { return e.hop != unique.Handle[Hop]{} }

// Hop returns what Through has got; zero for an address.
func (e Endpoint) Hop() Hop {
	if !e.Relayed() {
		return Hop{}
	}
	return e.hop.Value()
}

// IsValid reports whether there is something to send to.
func (e Endpoint) IsValid() bool { return e.Relayed() || e.Addr.IsValid() }

// MaxDatagram returns how long a datagram to e may be without knowledge of the path, so that none on the way is longer than
// MaxDatagram.
func (e Endpoint) MaxDatagram() int {
	if e.Relayed() {
		return MaxDatagram - RelayOverhead
	}
	return MaxDatagram
}

// String returns the address, or the beginning of the relay's node ID, as for logs.
func (e Endpoint) String() string {
	if e.Relayed() {
		via := e.Hop().Via
		return "via " + hex.EncodeToString(via[:5])
	}
	return e.Addr.String()
}
