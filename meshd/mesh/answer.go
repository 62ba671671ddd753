package mesh

import (
	"time"

	"meshnet/meshd/offload"
)

// Answerer is offered what containers ask, and answers in place of those they ask. Safe for concurrent use.
type Answerer interface {
	// Answer takes a frame from the TAP, or does not: taken says that it goes no further. partial says that a checksum in it is
	// still to be computed. reply is dst with the frame that is to be written to the TAP appended, if there is one. It is called
	// for every frame, must not block, and keeps neither frame nor dst.
	Answer(now time.Time, frame []byte, partial bool, dst []byte) (reply []byte, taken bool)
}

// maxReply is how many bytes a reply may have without being allocated.
const maxReply = 2048

// answers is how one outbound path offers frames to the answerer.
type answers struct {
	sw   *Switch
	tap  TAP       // replies are written to it; nil: nobody answers
	room []byte    // an offload header, and space for a reply
	one  [1][]byte // a batch
}

func newAnswers(s *Switch, tap TAP) answers {
	return answers{sw: s, tap: tap, room: make([]byte, offload.HeaderLen, offload.HeaderLen+maxReply)}
}

// offer offers packet p, of frame f, which why says about, to the answerer, and reports whether it goes no further. What belongs to
// this link the boundary does not let through, but it is what containers ask.
func (a *answers) offer(now time.Time, p []byte, f frame, why drop) bool {
	if a.tap == nil || a.sw.answerer == nil || f.etherType == 0 || offload.Segmented(p) {
		return false
	}
	partial := offload.Parse(p).Flags&offload.NeedsChecksum != 0
	reply, taken := a.sw.answerer.Answer(now, p[offload.HeaderLen:], partial, a.room)
	if len(reply) > len(a.room) {
		a.one[0] = reply
		a.sw.say(a.tap, a.one[:])
	}
	return taken
}

// Say writes a frame to tap that this host has to say, and counts it.
func (s *Switch) Say(tap TAP, frame []byte) {
	s.say(tap, [][]byte{append(make([]byte, offload.HeaderLen, offload.HeaderLen+len(frame)), frame...)})
}

// say writes packets whose offload header says nothing.
func (s *Switch) say(tap TAP, packets [][]byte) {
	n, _ := tap.WriteBatch(packets) // the TAP's next ReadBatch fails as well, and says why
	s.shared.counters.said.Add(uint64(n))
	if lost := len(packets) - n; lost > 0 {
		s.shared.counters.drop(dropTAP, lost)
	}
}
