package node

import (
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/wire"
)

// "A long broadcast has the paths to all peers probed at once, and all acknowledgements come at once": none is lost while the loop is
// busy, as three lost ones would narrow a path.
func TestAcknowledgementsOfAllPeersFit(t *testing.T) {
	n := &Node{inbox: newInbox()}
	const peers = 1000
	now := time.Now()
	for range peers {
		n.probed(now, probe{session: new(session.Session), ack: true, Probe: wire.Probe{Number: 1, Size: wire.MaxDatagram}}, nil)
	}
	if got := len(n.inbox.probes); got != peers {
		t.Errorf("%d of %d acknowledgements wait for the loop, want all", got, peers)
	}
}
