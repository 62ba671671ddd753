package session

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"meshnet/meshd/wire"
)

// The errors of a Keypair's methods. They are bare: the frame path counts them.
var (
	ErrCounter = errors.New("keypair has used up its counters")
	ErrExpired = errors.New("keypair has expired")
	ErrReplay  = errors.New("message seen before or too old")
	ErrAuth    = errors.New("message is not authentic")
)

// Keypair is one pair of transport keys, agreed in one handshake. Its exported methods are safe for concurrent use and
// do not allocate.
type Keypair struct {
	session   *Session
	index     uint32 // ours: in messages that we receive
	remote    uint32 // the peer's: in messages that we send
	initiator bool   // we sent message 1
	created   time.Time

	send, receive      cipher.AEAD
	sending, receiving nonces
	counter            atomic.Uint64 // the next to send with
	confirmed          atomic.Bool   // the peer is known to hold these keys; set by the machine
	heard              atomic.Bool   // something was opened
	expired            atomic.Bool
	newest             atomic.Uint64 // largest counter of the first lane passed to Received, plus 1
	counters           *Counters

	windows [wire.MaxLanes]laneWindow
}

// newAEAD returns the AEAD of a transport key.
func newAEAD(c wire.Cipher, key [32]byte) (cipher.AEAD, error) {
	switch c {
	case wire.AES256GCM:
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	case wire.ChaCha20Poly1305:
		return chacha20poly1305.New(key[:])
	}
	return nil, fmt.Errorf("cipher %d: %w", c, wire.ErrCipher)
}

// Session returns the session whose keypair k is or was.
func (k *Keypair) Session() *Session { return k.session }

// Confirmed reports whether the peer is known to hold k too.
func (k *Keypair) Confirmed() bool { return k.confirmed.Load() }

// Reserve takes n consecutive counters, for n calls of Seal, and returns the first. The error is ErrCounter after 2^60
// of them, or ErrExpired.
func (k *Keypair) Reserve(n int) (first uint64, err error) {
	if k.expired.Load() {
		return 0, ErrExpired
	}
	if n < 0 || k.counter.Load() > RejectAfterMessages-uint64(n) {
		return 0, ErrCounter
	}
	end := k.counter.Add(uint64(n))
	if end > RejectAfterMessages {
		return 0, ErrCounter
	}
	return end - uint64(n), nil
}

// Seal appends to dst one sealed message and returns the extended slice (docs/protocol.md, "Sealed messages"). Type,
// Piece, More and Counter are h's; Receiver is filled in. Each counter that Reserve gave is used once.
//
// It does not allocate if dst has room for len(payload) + wire.Overhead. payload lies either exactly wire.HeaderLen
// bytes past len(dst) in the same array, and is sealed in place, or clear of it.
func (k *Keypair) Seal(dst []byte, h wire.Header, payload []byte) []byte {
	h.Receiver = k.remote
	start := len(dst)
	dst = appendHeader(dst, h, len(payload))
	nonce := k.sending.take(h.Counter)
	dst = k.send.Seal(dst, nonce.bytes(), payload, dst[start:])
	nonce.put()
	return dst
}

// Open is OpenTo in place: payload is part of datagram.
func (k *Keypair) Open(h wire.Header, datagram []byte) (payload []byte, err error) {
	return k.OpenTo(nil, h, datagram)
}

// OpenTo authenticates and decrypts a sealed message, whose parsed header h is, and appends it to dst, which has room for it
// and is clear of datagram; if dst is nil it decrypts in place. A message is opened once. The error is ErrReplay, ErrAuth or
// ErrExpired, and is counted; the contents of datagram, or of the room behind dst, are then undefined.
func (k *Keypair) OpenTo(dst []byte, h wire.Header, datagram []byte) (payload []byte, err error) {
	if k.expired.Load() {
		k.counters.Expired.Add(1)
		return nil, ErrExpired
	}
	if len(datagram) < wire.Overhead {
		k.counters.Auth.Add(1)
		return nil, ErrAuth
	}
	window := &k.windows[h.Lane]
	// A replay costs no decryption.
	if h.Counter >= RejectAfterMessages || !window.fresh(h.Counter) {
		k.counters.Replay.Add(1)
		return nil, ErrReplay
	}
	sealed := datagram[wire.HeaderLen:]
	if dst == nil {
		dst = sealed[:0]
	}
	nonce := k.receiving.take(h.Counter)
	payload, err = k.receive.Open(dst, nonce.bytes(), sealed, datagram[:wire.HeaderLen])
	nonce.put()
	if err != nil {
		k.counters.Auth.Add(1)
		return nil, ErrAuth
	}
	// Another goroutine may have opened a copy meanwhile.
	if !window.accept(h.Counter) {
		k.counters.Replay.Add(1)
		return nil, ErrReplay
	}
	return payload, nil
}

// Received records a message with header h that Open has opened: n is the length of the datagram in bytes. It says what to report
// to the machine: confirm asks for Machine.Confirmed, once a keypair; roam asks for Machine.Roamed, because the newest message of
// the first lane came from another endpoint than the session's, to which it moves.
func (k *Keypair) Received(now time.Time, from wire.Endpoint, h wire.Header, n int) (confirm, roam bool) {
	s := k.session
	s.received(now, from, n)
	if h.Type == wire.TypeFrame || h.Type == wire.TypeProbeAck {
		s.heardBack()
	}
	confirm = !k.confirmed.Load() && k.heard.CompareAndSwap(false, true)
	if h.Lane != 0 {
		return confirm, false // it comes from a port that nothing is sent to
	}
	counter := h.Counter
	for {
		newest := k.newest.Load()
		if counter < newest {
			return confirm, false
		}
		if k.newest.CompareAndSwap(newest, counter+1) {
			break
		}
	}
	return confirm, s.follows(now, from) && s.mayMove(k)
}

// Sent records a sealed message that was sent: n is the length of the datagram in bytes.
func (k *Keypair) Sent(now time.Time, n int) { k.session.sent(now, n) }

// Probed records a Probe that was sent, instead of Sent: n is the length of the datagram in bytes.
func (k *Keypair) Probed(n int) { k.session.probed(n) }

// appendHeader appends h's bytes to dst, and makes room for payload bytes and a tag if there is none.
func appendHeader(dst []byte, h wire.Header, payload int) []byte {
	start := len(dst)
	if need := start + payload + wire.Overhead; cap(dst) < need {
		grown := make([]byte, start, need)
		copy(grown, dst)
		dst = grown
	}
	dst = dst[:start+wire.HeaderLen]
	wire.PutHeader(dst[start:], h)
	return dst
}

// nonces lends nonces out. cipher.AEAD is an interface, so a nonce on the stack would escape and every message would
// allocate; a sync.Pool would be emptied by the collector. With more callers at once than slots, the rest allocate.
type nonces [4]nonceSlot

// nonceSlot is one nonce, alone in a cache line.
type nonceSlot struct {
	busy atomic.Bool
	b    [chacha20poly1305.NonceSize]byte
	_    [48]byte
}

// take returns a slot that holds the nonce of counter: 4 zero bytes, and the counter (docs/protocol.md, "Sealed
// messages"). put returns it.
func (n *nonces) take(counter uint64) *nonceSlot {
	for i := range uint64(len(n)) {
		if s := &n[(counter+i)%uint64(len(n))]; s.busy.CompareAndSwap(false, true) {
			binary.BigEndian.PutUint64(s.b[4:], counter)
			return s
		}
	}
	s := new(nonceSlot)
	binary.BigEndian.PutUint64(s.b[4:], counter)
	return s
}

func (s *nonceSlot) bytes() []byte { return s.b[:] }
func (s *nonceSlot) put()          { s.busy.Store(false) }
