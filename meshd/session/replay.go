package session

import "sync"

// Replay window (RFC 6479). The ring has one word more than the window, so that clearing the word that the window
// moves into never forgets a counter that is still inside.
const (
	wordBits   = 64
	windowBits = 8192 // counters behind the newest that are still accepted, at least
	ringWords  = windowBits/wordBits + 1
)

// replayWindow remembers which counters were accepted. The zero value is an empty window. Not safe for concurrent use.
type replayWindow struct {
	newest uint64 // largest accepted counter; 0 also before the first
	ring   [ringWords]uint64
}

// laneWindow is the window of one lane. Each lane has its own, since one may run ahead of another by more than a window: they are
// read by different goroutines. The lane is authenticated, so that a copy always meets the window that its original has met. The
// first message makes the window: most keypairs see only one lane.
type laneWindow struct {
	mu     sync.Mutex // guards window, against other goroutines of the frame path
	window *replayWindow
}

// fresh is replayWindow's.
func (w *laneWindow) fresh(counter uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.window == nil || w.window.fresh(counter)
}

// accept is replayWindow's.
func (w *laneWindow) accept(counter uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.window == nil {
		w.window = new(replayWindow)
	}
	return w.window.accept(counter)
}

// fresh reports whether counter was not accepted before and is not older than the window.
func (w *replayWindow) fresh(counter uint64) bool {
	if counter > w.newest {
		return true
	}
	if w.newest-counter >= windowBits {
		return false
	}
	return w.ring[counter/wordBits%ringWords]&(1<<(counter%wordBits)) == 0
}

// accept records counter, and reports false if it is not fresh. The caller has authenticated it.
func (w *replayWindow) accept(counter uint64) bool {
	if !w.fresh(counter) {
		return false
	}
	word := counter / wordBits
	if counter > w.newest {
		// Clear the words between the newest counter's and this one's, at most once round.
		for i := range min(word-w.newest/wordBits, ringWords) {
			w.ring[(word-i)%ringWords] = 0
		}
		w.newest = counter
	}
	w.ring[word%ringWords] |= 1 << (counter % wordBits)
	return true
}
