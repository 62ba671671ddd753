// Package zone answers DNS questions about the containers of a network (docs/operations.md, "Names"). It is pure: messages and the
// neighbour table in, replies out; no socket, goroutine or clock. What it does not know it leaves to be forwarded.
//
//	web.prod.mesh, web.a.prod.mesh  A, AAAA       of the containers called web; of the one on host a
//	a.prod.mesh                     A, AAAA       host a itself, if it has addresses in the network and no container is called so
//	prod.mesh                       A, AAAA, NS   the server
//	9.0.77.10.in-addr.arpa          PTR           likewise in ip6.arpa
//
// The formats are those of github.com/miekg/dns: RFC 1035, RFC 6891 (EDNS), RFC 2308 (negative answers).
package zone
