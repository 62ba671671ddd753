// Package api is how programs on a host talk to its meshd: HTTP and JSON over a Unix socket.
//
//	GET    /v1/status                                                  Status
//	GET    /v1/networks                                                NetworkList
//	POST   /v1/networks                       CreateRequest            Created        root
//	POST   /v1/networks/join                  JoinRequest              Network        root
//	GET    /v1/networks/{name}                                         Network
//	DELETE /v1/networks/{name}                                         Left           root
//	GET    /v1/networks/{name}/ready                                   Readiness
//	GET    /v1/networks/{name}/token          ?endpoint=HOST:PORT ...  TokenText      root
//	GET    /v1/networks/{name}/peers                                   PeerList
//	GET    /v1/networks/{name}/leases                                  LeaseList
//	GET    /v1/networks/{name}/attachments                             AttachmentList
//	PUT    /v1/networks/{name}/attachments/{container}/{ifname}
//	                                          AttachOptions            Attachment
//	DELETE /v1/networks/{name}/attachments/{container}/{ifname}
//	                                          ?source=SOURCE           Detached
//	GET    /v1/networks/{name}/ipam                                    IPAMList
//	GET    /v1/networks/{name}/ipam/check                              IPAMCheck
//	POST   /v1/networks/{name}/ipam/reserve   ReserveRequest           Reservation    root
//	DELETE /v1/networks/{name}/ipam/reserve   ?addresses=PREFIX        Released       root
//	POST   /v1/networks/{name}/ipam/recover                            Recovered      root
//	POST   /v1/networks/{name}/ipam/adopt                              Adopted        root
//	DELETE /v1/networks/{name}/nodes/{node}   ?force=true              Removed        root
//
// /v1/peers, /v1/leases, /v1/attachments and /v1/ipam are the same for all networks at once; PUT and DELETE under
// /v1/attachments mean the only network there is (PUT), or whichever holds the attachment (DELETE).
//
// An error is {"error":{"code":"…","message":"…"}} with the HTTP status of its Code. Every call that changes something
// may be repeated: attach and detach are keyed by (network, container, ifname), so a second attach answers what the
// first did and a second detach has nothing to do.
//
// Whoever may connect to the socket (root, and group meshnet where it exists) may look, attach and detach. Root alone,
// or the user that meshd itself runs as, may create, join or leave a network, read its token, reserve addresses, and say
// who keeps the block registry and which hosts are in it: see Credentials.
//
// Programs rely on the JSON of this package: a field is never renamed nor given another meaning, only added. Field
// names are snake_case; 64-bit identifiers are strings, because many JSON readers keep only 53 bits; times are
// RFC 3339; a list without elements is [], never null.
//
// Client needs nothing but the standard library, because plugins that start for each container import it. What calls
// do is the daemon's, behind Backend.
package api
