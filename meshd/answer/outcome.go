package answer

import "sync/atomic"

// Outcome is what became of a frame. One that has not Passed goes no further.
type Outcome uint8

// The outcomes. Each but Passed has a counter of the name in outcomeNames.
const (
	Passed Outcome = iota // it is none of ours

	ARPAnswered
	ARPKept    // nobody else needs it
	ARPInvalid // its sender is not who it says
	ARPClaimed // its sender claims the address of another attachment, or the gateway's

	NDAnswered
	NDKept
	NDInvalid // it contradicts itself, or its checksum, or its sender is not who it says
	NDClaimed

	RSAnswered
	RSInvalid
	RogueRouter // a router advertisement

	DHCP4Answered
	DHCP4Refused // with a DHCPNAK
	DHCP4Noted   // a release or decline, which is not answered
	DHCP4Ignored // it is for another server, or there is nothing to give
	DHCP4Waiting // it comes from a MAC without lease, which gets one
	DHCP4Closed  // it comes from a MAC without lease, which gets none
	DHCP4Invalid
	DHCP4Rogue // what only servers send

	DHCP6Answered
	DHCP6Ignored
	DHCP6Waiting
	DHCP6Closed
	DHCP6Invalid
	DHCP6Rogue

	GatewayClaimed // it comes from the gateway's MAC

	Limited // more came from this MAC than is answered

	numOutcomes
)

// outcomeNames are the counters' names, on which users' dashboards rely.
var outcomeNames = [numOutcomes]string{
	ARPAnswered:    "arp_answered",
	ARPKept:        "arp_kept",
	ARPInvalid:     "arp_invalid",
	ARPClaimed:     "arp_claimed",
	NDAnswered:     "nd_answered",
	NDKept:         "nd_kept",
	NDInvalid:      "nd_invalid",
	NDClaimed:      "nd_claimed",
	RSAnswered:     "rs_answered",
	RSInvalid:      "rs_invalid",
	RogueRouter:    "rogue_router",
	DHCP4Answered:  "dhcp4_answered",
	DHCP4Refused:   "dhcp4_refused",
	DHCP4Noted:     "dhcp4_noted",
	DHCP4Ignored:   "dhcp4_ignored",
	DHCP4Waiting:   "dhcp4_waiting",
	DHCP4Closed:    "dhcp4_closed",
	DHCP4Invalid:   "dhcp4_invalid",
	DHCP4Rogue:     "rogue_dhcp4",
	DHCP6Answered:  "dhcp6_answered",
	DHCP6Ignored:   "dhcp6_ignored",
	DHCP6Waiting:   "dhcp6_waiting",
	DHCP6Closed:    "dhcp6_closed",
	DHCP6Invalid:   "dhcp6_invalid",
	DHCP6Rogue:     "rogue_dhcp6",
	GatewayClaimed: "gateway_claimed",
	Limited:        "limited",
}

// String returns the counter's name.
func (o Outcome) String() string {
	if o == Passed {
		return "passed"
	}
	return outcomeNames[o]
}

// Counters count outcomes. Safe for concurrent use.
type Counters struct{ n [numOutcomes]atomic.Uint64 }

// Add counts one outcome.
func (c *Counters) Add(o Outcome) { c.n[o].Add(1) }

// Snapshot returns the counters by name. The names are constant.
func (c *Counters) Snapshot() map[string]uint64 {
	m := make(map[string]uint64, numOutcomes)
	for o := Passed + 1; o < numOutcomes; o++ {
		m[outcomeNames[o]] = c.n[o].Load()
	}
	return m
}
