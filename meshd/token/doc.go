// Package token is the text that a host needs to join a network: its name and ID, its key, what all its interfaces
// must agree on, and where to find a member (docs/protocol.md, "Token").
//
// A token is a secret: who has it is able to join. String therefore is the only way to see the key; printing a Token
// with any verb but its String method is left to nobody.
//
// The package also says, once for the whole project, what the name of a network, an endpoint written by a person, an
// overlay MTU and an overlay prefix may look like. It knows nothing of sessions and imports the standard library only.
package token
