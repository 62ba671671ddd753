package path

import (
	"time"

	"meshnet/meshd/wire"
)

// Base is BASE_PLPMTU of RFC 8899 in bytes of UDP payload: the size that is used without having been probed.
const Base = wire.MaxDatagram

// Bytes of the headers before a UDP payload: those of UDP (8), and of IPv4 without options (20) or IPv6 (40).
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

// Times and counts. Those with a name in RFC 8899 (section 5.1) have it behind.
const (
	MaxProbes       = 3                      // of one size that are lost before it counts: MAX_PROBES
	ConfirmInterval = 2 * time.Second        // between two probes of the current size: CONFIRMATION_TIMER
	ConfirmTimeout  = time.Second            // for such a probe's acknowledgement: PROBE_TIMER
	MinTimeout      = 200 * time.Millisecond // for that of a larger one, at least; four round trips, up to ConfirmTimeout. See timeout
	RaiseTime       = 10 * time.Minute       // after which larger sizes are tried again: PMTU_RAISE_TIMER
	DegradedTime    = time.Minute            // after which Base is tried again where it did not pass
	SilentTime      = 5 * time.Second        // the same while nothing at all comes from the peer
	AckTime         = 10 * time.Second       // after which an acknowledgement counts no more
	ActiveTime      = 5 * time.Second        // for which a long frame keeps the machine going: see Advance
)

// granularity is how far apart, in bytes, a size that passes and one that does not may be when the search ends.
const granularity = 16

// usual are the MTUs, in bytes of IP packet, that are tried before others, in this order: what jumbo frames are mostly made for;
// Ethernet; with PPPoE; in Google's cloud; through WireGuard; through a tunnel of people who like round numbers; IPv6's minimum.
var usual = [...]int{maxPacket, 1500, 1492, 1460, 1420, 1400, 1280}

// maxPacket is the largest MTU that is looked for. The devices of clouds have up to 9001 (AWS).
const maxPacket = 9000
