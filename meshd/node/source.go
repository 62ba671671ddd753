package node

// Sources of leases, as the API calls them, that a node treats in a way of their own.
const (
	SourceCNI     = "cni"      // what the container is called is for machines
	SourceCNIIPAM = "cni-ipam" // another CNI plugin puts the addresses on an interface of its own
	SourceDHCP    = "dhcp"     // a MAC that nobody knows asked: a virtual machine, a container that nobody announced
	SourceHost    = "host"     // the host itself
)
