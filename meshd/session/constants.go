package session

import "time"

// Constants of the protocol (docs/protocol.md, "Constants"). WireGuard's are those of its whitepaper, section 6.1.
const (
	RekeyAfterTime      = 120 * time.Second // initiator of the keypair begins a new handshake; WireGuard's
	RekeyAfterTimeLate  = 140 * time.Second // the other side does, in case the initiator cannot
	RejectAfterTime     = 180 * time.Second // keypair is dropped; WireGuard's
	RejectAfterMessages = 1 << 60           // counters from here on are neither used nor accepted
	RekeyAfterMessages  = RejectAfterMessages - 1<<32
	KeepaliveTimeout    = 10 * time.Second // data received and nothing sent since; WireGuard's
	PersistentKeepalive = 25 * time.Second // nothing sent; the interval that WireGuard recommends behind NATs
	DeadPeerTimeout     = 15 * time.Second // data sent and nothing received since: KeepaliveTimeout + 5 s, as WireGuard
	QuietPeerTimeout    = 35 * time.Second // nothing received, not even PersistentKeepalive: new handshake
	LostTimeout         = 60 * time.Second // nothing received: the session is lost
	HandshakeTimeout    = 10 * time.Second // between message 2 and 3, and from message 3 to its confirmation
	MaxCandidates       = 8                // endpoints that one message 1 is sent to

	// Where members relay (docs/protocol.md, "Relays").
	MaxRelays         = 3                      // through which one message 1 is sent
	RelayDelay        = 150 * time.Millisecond // after it was sent to the peer's addresses
	UpgradeInterval   = 60 * time.Second       // of the tries to reach directly who is reached through a relay, in the end
	DirectPatience    = 2 * time.Second        // nothing received directly: what comes through a relay moves the endpoint there
	DoubtTimeout      = 1 * time.Second        // frames sent to one container and nothing received since: a Probe, which is answered, each pollInterval
	UnansweredTimeout = 3 * time.Second        // the same, Probes and all: new handshake, through relays too
)

// Bounds on what peers can make us remember and do.
const (
	maxHalfOpen          = 1024
	maxAnswered          = 4 * maxHalfOpen  // half-open and completed within HandshakeTimeout
	maxHalfOpenPerSource = 16               // per IPv4 address or IPv6 /64
	maxPeers             = 4096             // above which no session is made that we do not want
	reservedEntries      = entries / 8      // receiver indexes kept for handshakes that we begin
	maxInstances         = 8192             // identities whose newest instance is remembered without a session
	maxKeypairs          = 4                // per session
	wrongPeerTime        = 5 * time.Minute  // for which a candidate is left out after another node has answered there
	selfTime             = 10 * time.Minute // for which an endpoint is left out after we have answered there
	skewEventInterval    = time.Minute
	relayRate            = 64 << 20              // bytes a second that are relayed for one peer, in the long run
	relayBurst           = 4 << 20               // bytes that are relayed for it at once
	probeBurst           = 32                    // path MTU probes and acknowledgements that a peer may send at once
	probeInterval        = 50 * time.Millisecond // after which it may send another one
)

// pollInterval is how often timers that depend on the frame path are looked at: it does not wake the machine.
const pollInterval = time.Second

// idleInterval is how long the machine sleeps when it has nothing to wait for.
const idleInterval = time.Minute
