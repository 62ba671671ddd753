// Package nameserver serves DNS for the containers of a host: what its network's zone knows (package zone) it answers, the rest it asks the
// host's own resolvers (resolv.conf(5)).
//
//	client ── UDP, TCP ── Server ── zone: answered at once
//	                         └───── forwarder: one question in flight for all who ask the same, UDP, then TCP if the answer was cut
//
// Sockets are opened by the caller. Clients that are not of the network get nothing; each may ask only so often, and so much at once.
package nameserver
