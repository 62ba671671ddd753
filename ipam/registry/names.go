package registry

import "fmt"

var opNames = [opEnd]string{
	OpInit:           "init",
	OpRefresh:        "refresh",
	OpClaim:          "claim",
	OpClaimAddress:   "claim-address",
	OpCarveOut:       "carve-out",
	OpReleaseBlock:   "release-block",
	OpReleaseAddress: "release-address",
	OpRemoveNode:     "remove-node",
	OpExpireNodes:    "expire-nodes",
	OpReserve:        "reserve",
	OpUnreserve:      "unreserve",
	OpAddPool:        "add-pool",
	OpRecover:        "recover",
}

// String returns the name of the operation in lower case, "claim-address".
func (o Op) String() string {
	if o == 0 || o >= opEnd {
		return fmt.Sprintf("operation %d", uint8(o))
	}
	return opNames[o]
}

var codeNames = [codeEnd]string{
	OK:               "ok",
	Invalid:          "invalid",
	Corrupt:          "corrupt",
	Empty:            "empty",
	OtherRegistry:    "other-registry",
	StaleRegistry:    "stale-registry",
	StaleGeneration:  "stale-generation",
	RefreshFirst:     "refresh-first",
	Fenced:           "fenced",
	Superseded:       "superseded",
	Late:             "late",
	UnknownNode:      "unknown-node",
	Exhausted:        "exhausted",
	Recovering:       "recovering",
	HeldByBlock:      "held-by-block",
	HeldByClaim:      "held-by-claim",
	Cooling:          "cooling",
	Reserved:         "reserved",
	Outside:          "outside",
	NetworkAddress:   "network-address",
	BroadcastAddress: "broadcast-address",
	GatewayAddress:   "gateway-address",
	Excluded:         "excluded",
	NotOwner:         "not-owner",
	Overlap:          "overlap",
	NotReserved:      "not-reserved",
}

// String returns the name of the code in lower case, "held-by-block".
func (c Code) String() string {
	if c >= codeEnd {
		return fmt.Sprintf("code %d", uint8(c))
	}
	return codeNames[c]
}
