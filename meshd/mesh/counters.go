package mesh

import "sync/atomic"

// drop is why a frame, a piece or a copy of a frame goes no further.
type drop uint8

// The reasons. Each has a counter of the name in dropNames.
const (
	passes drop = iota // no reason

	// Any frame, in both directions.
	dropShort   // shorter than an Ethernet header
	dropLong    // longer than the MTU and its headers
	dropSource  // a source that no station can have: a group or zero
	dropOffload // with an offload header that contradicts the frame

	// The boundary, in both directions.
	dropReserved  // to a group that bridges keep on their link, 01:80:c2:00:00:0x
	dropSTP       // a spanning tree's BPDU to another address
	dropLLDP      // LLDP to another address
	dropTags      // more VLAN tags than are looked through
	dropMalformed // a header that cannot be read to its end
	dropDHCPv4
	dropDHCPv6
	dropRouterSolicitation
	dropRouterAdvertisement
	dropRedirect    // ICMP or ICMPv6
	dropNDFragment  // neighbour discovery in a fragment
	dropNDExtension // neighbour discovery behind an extension header
	dropARPHardware // ARP for another link than Ethernet
	dropGatewayMAC  // from or to the gateway's MAC
	dropGatewayARP  // about the gateway's address
	dropGatewayND   // about the gateway's address
	dropSourceLocal // from the mesh, with the source of a container on this host

	// Outbound.
	dropSourceRemote // from the TAP, with the source of a container of another host
	dropLocal        // the destination is behind the bridge it came from
	dropNoPeers      // for everyone, and there is nobody
	dropNoSession    // copies for a peer without a session
	dropKeypair      // copies for a keypair that may seal no more: its counters or its time are used up
	dropUnderlay     // datagrams that the underlay did not take

	// Inbound.
	dropUnknownPeer  // pieces from a session that control has not published
	dropSplitHorizon // the destination is behind a peer
	dropTAP          // frames that the TAP did not take
	dropPiece        // pieces that cannot be part of a frame, with the frame
	dropIncomplete   // frames given up because pieces were missing

	// Learning: the frame goes on, its source is not learned.
	dropLearnQueue  // the queue to control was full
	dropLearnLimit  // the peer, or the switch, has learned all it may
	dropLearnStatic // the neighbour table says that the source is elsewhere

	numDrops
)

// dropNames are the counters' names, on which users' dashboards rely.
var dropNames = [numDrops]string{
	dropShort:               "frame_short",
	dropLong:                "frame_long",
	dropSource:              "source_invalid",
	dropOffload:             "offload_header",
	dropReserved:            "boundary_reserved_group",
	dropSTP:                 "boundary_stp",
	dropLLDP:                "boundary_lldp",
	dropTags:                "boundary_tags",
	dropMalformed:           "boundary_malformed",
	dropDHCPv4:              "boundary_dhcp4",
	dropDHCPv6:              "boundary_dhcp6",
	dropRouterSolicitation:  "boundary_router_solicitation",
	dropRouterAdvertisement: "boundary_router_advertisement",
	dropRedirect:            "boundary_redirect",
	dropNDFragment:          "boundary_nd_fragment",
	dropNDExtension:         "boundary_nd_extension",
	dropARPHardware:         "boundary_arp_hardware",
	dropGatewayMAC:          "boundary_gateway_mac",
	dropGatewayARP:          "boundary_gateway_arp",
	dropGatewayND:           "boundary_gateway_nd",
	dropSourceLocal:         "source_local",
	dropSourceRemote:        "source_remote",
	dropLocal:               "destination_local",
	dropNoPeers:             "no_peers",
	dropNoSession:           "no_session",
	dropKeypair:             "keypair_spent",
	dropUnderlay:            "underlay_write",
	dropUnknownPeer:         "unknown_peer",
	dropSplitHorizon:        "split_horizon",
	dropTAP:                 "tap_write",
	dropPiece:               "piece_malformed",
	dropIncomplete:          "frame_incomplete",
	dropLearnQueue:          "learn_queue",
	dropLearnLimit:          "learn_limit",
	dropLearnStatic:         "learn_static",
}

// String returns the counter's name.
func (d drop) String() string {
	if d == passes {
		return "passes"
	}
	return dropNames[d]
}

// Counters count what a switch carried and what it dropped, by reason. Safe for concurrent use.
type Counters struct {
	outFrames    atomic.Uint64 // read from the TAP
	outDatagrams atomic.Uint64 // pieces handed to the underlay
	_            [64]byte      // the frame path's two directions run on different cores
	said         atomic.Uint64 // answers, written to the TAP
	inDatagrams  atomic.Uint64 // pieces opened
	inFrames     atomic.Uint64 // written to the TAP
	inSalvaged   atomic.Uint64 // segments of frames of which a piece was lost
	_            [64]byte
	drops        [numDrops]atomic.Uint64
}

// Snapshot returns the counters by name. The names are constant.
func (c *Counters) Snapshot() map[string]uint64 {
	m := map[string]uint64{
		"outbound_frames":    c.outFrames.Load(),
		"outbound_datagrams": c.outDatagrams.Load(),
		"answers":            c.said.Load(),
		"inbound_datagrams":  c.inDatagrams.Load(),
		"inbound_frames":     c.inFrames.Load(),
		"inbound_salvaged":   c.inSalvaged.Load(),
	}
	for d := passes + 1; d < numDrops; d++ {
		m[dropNames[d]] = c.drops[d].Load()
	}
	return m
}

// drop counts n drops for reason d.
func (c *Counters) drop(d drop, n int) { c.drops[d].Add(uint64(n)) }
