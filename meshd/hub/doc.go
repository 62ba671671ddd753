// Package hub shares the daemon's UDP sockets among its networks.
//
// One UDP port serves every network of a host. The hub reads datagrams in batches, finds the network each one is for,
// and hands it over; it looks at no more than the first eight bytes (docs/protocol.md, "Datagrams"):
//
//   - a first handshake message names no network, so each network is asked; only the one whose PSK opens it will answer;
//   - everything else carries a receiver index whose low eight bits are the network's slot here.
//
// A port may have several lanes, each with a socket (docs/protocol.md, "Lanes"). All are read; what is sent says which lane it goes by.
//
// The hub holds no keys, and the networks share nothing through it but the sockets. There is one goroutine per socket,
// and it owns the buffers of its batch: what it hands to a network is valid until the call returns, or, for sealed
// messages, until that network's Flush returns.
package hub
