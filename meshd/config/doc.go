// Package config is what meshd reads from files and keeps in them.
//
// The configuration file (Config; reference.toml lists every key) is written by people or by configuration management,
// says what should be, and is only read. The state directory (State) is written by meshd, holds what must survive a
// restart, and is the truth for keys: a network whose identity is lost there is another member when it joins again.
//
//	STATE/lock                        held by the meshd that uses the directory
//	STATE/networks/NAME/network.json  Settings; secret
//	STATE/networks/NAME/peers.json    members met; may be deleted
//	STATE/networks/NAME/leases/       belongs to package ipam
//
// ImportPeerVPN translates the configuration file of PeerVPN.
package config
