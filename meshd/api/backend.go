package api

import "context"

// Backend is what the daemon does for the API. Its methods are called concurrently, with requests that have been
// checked for form (names, lengths, ranges) and callers that have been found entitled. An error without a code (see
// Errorf) reaches the caller as Internal.
//
// A network's name is never empty but where that is said.
type Backend interface {
	Status(ctx context.Context) (Status, error)
	Networks(ctx context.Context) ([]Network, error)
	Network(ctx context.Context, name string) (Network, error)

	// Ready says whether containers can be attached to a network. If there is no IPv4 address to lease it gets one as Attach
	// would, and waits for that until ctx ends or some seconds have passed.
	Ready(ctx context.Context, name string) (Readiness, error)

	// Create makes a network and its token. Conflict if there is one of this name.
	Create(ctx context.Context, r CreateRequest) (Created, error)
	// Join makes this host a member. Unless r.NoWait is set it waits until a member answers; Unavailable, and nothing
	// changed, if none does. Conflict if another network has the name.
	Join(ctx context.Context, r JoinRequest) (Network, error)
	// Update changes bridge, DHCP or egress of a network on this host. Conflict if the bridge belongs to another network, is no bridge, or the
	// network is declared in the configuration file. Containers that are in the bridge it had go along.
	Update(ctx context.Context, r UpdateRequest) (Network, error)
	// Leave says good-bye and forgets the network with its keys and leases. NotFound if there is none.
	// Conflict, unless force is set, if the other hosts could not go on without this one.
	Leave(ctx context.Context, name string, force bool) error
	// Token returns a token that carries these endpoints; without any, those that are known.
	Token(ctx context.Context, name string, endpoints []string) (string, error)

	// Peers, Leases and Attachments list those of one network, or of all if name is "".
	Peers(ctx context.Context, name string) ([]Peer, error)
	Leases(ctx context.Context, name string) ([]Lease, error)
	Attachments(ctx context.Context, name string) ([]Attachment, error)
	// DNS lists the names of one network, or of all if name is "", whether they are answered here or not.
	DNS(ctx context.Context, name string) ([]Zone, error)

	// Attach returns the container's place on the overlay. It is on disk. Attaching again returns the same.
	Attach(ctx context.Context, r AttachRequest) (Attachment, error)
	// Detach releases it, and says whether there was anything to release.
	Detach(ctx context.Context, r DetachRequest) (bool, error)

	// IPAM lists the use of the IPv4 addresses of one network, or of all if name is "". It answers while the block registry
	// does not, with what this host knows and IPAM.Error.
	IPAM(ctx context.Context, name string) ([]IPAM, error)
	// IPAMCheck compares the block registry, the neighbour table and this host's leases.
	IPAMCheck(ctx context.Context, name string) (IPAMCheck, error)
	// Reserve makes a reservation; making it again changes its comment. Invalid if it is not in a pool.
	Reserve(ctx context.Context, r ReserveRequest) (Reservation, error)
	// Release gives a reservation back, and says whether there was one.
	Release(ctx context.Context, r ReleaseRequest) (bool, error)
	// Recover makes this host's copy of the registry the registry, because most of the voters are lost for good. Conflict if
	// they are not lost or there is no copy here.
	Recover(ctx context.Context, name string) (Recovered, error)
	// Adopt gives up the registry that this host is in for an older one of the same network, made by another host.
	Adopt(ctx context.Context, name string) (Adopted, error)
	// RemoveNode takes from a host what it has of the pools. NotFound if there is none of that name, Conflict if it is up
	// and r.Force is not set. Removing it again changes nothing.
	RemoveNode(ctx context.Context, r RemoveNodeRequest) (Removed, error)
}
