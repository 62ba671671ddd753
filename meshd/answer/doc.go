// Package answer speaks for those whom a container asks: given a frame from the TAP and tables, it says what the frame is answered
// with, and whether it goes any further. It is how a host answers its containers itself (docs/architecture.md, "Answers").
//
//   - ARP (RFC 826, RFC 5227) and neighbour solicitations (RFC 4861, RFC 4862) for the address of any attachment in the network, so
//     that they need not be sent to every host. Whoever wants an address that is in use is told so.
//   - DHCPv4 (RFC 2131), DHCPv6 (RFC 8415) and router solicitations: an attachment is given the addresses that it holds. It is known
//     by the MAC that its frames come from.
//
// Only what is valid is answered: lengths, checksums, hop limits, and a sender that is who it says. Who claims what another
// attachment holds, or plays a server, is told from those who ask: Result says which.
//
// The package has no socket, goroutine or clock, and knows nothing of leasing: what has to be done beside answering, such as a
// lease for a MAC that nobody knows, is an Event for the caller. The formats of DHCP are those of package dhcpv4 and dhcpv6.
package answer
