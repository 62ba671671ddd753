// Package token is the text that a host needs to join a network: its name and ID, its key, what all its interfaces
// must agree on, and where to find a member (docs/protocol.md, "Token").
//
// A token is a secret: who has it is able to join. It appears only in what String returns.
//
// The package also says, once for the whole project, what people may write: the names of networks, hosts and
// interfaces, endpoints, an overlay's MTU, prefix and pools, and who hands out their blocks. It knows nothing of sessions
// and imports the standard library only.
package token
