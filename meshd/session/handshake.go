package session

import (
	"crypto/subtle"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/flynn/noise"

	"meshnet/meshd/wire"
)

// prologue begins the Noise prologue; the network ID follows.
const prologue = "meshnet/1"

// noiseParams is what all handshakes of a machine have in common.
type noiseParams struct {
	dh       noise.DHFunc
	prologue []byte
	psk      [32]byte
	static   noise.DHKey
	random   io.Reader
}

func newNoiseParams(cfg Config) noiseParams {
	return noiseParams{
		dh:       noise.DH25519,
		prologue: append([]byte(prologue), cfg.NetworkID[:]...),
		psk:      cfg.PSK,
		static:   noise.DHKey{Private: cfg.Identity.Private[:], Public: cfg.Identity.Public[:]},
		random:   cfg.Rand,
	}
}

// exchange is our side of one run of Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s. To read a message changes nothing in it:
// each attempt rebuilds the Noise state from what was sent and accepted before, so a forged message cannot spoil the
// exchange for the true one. Rebuilding costs hashes, but no Diffie-Hellman: those results are kept in own.
type exchange struct {
	params    *noiseParams
	own       *ownDH
	initiator bool
	message1  []byte // responder: the Noise message 1 that was accepted
	payload   []byte // initiator: of message 1; responder: of message 2
}

// transportKeys are the raw keys that the handshake splits into.
type transportKeys struct {
	toResponder, toInitiator [32]byte
}

func (x *exchange) state() (*noise.HandshakeState, error) {
	return noise.NewHandshakeState(noise.Config{
		CipherSuite:   noise.NewCipherSuite(x.own, noise.CipherChaChaPoly, noise.HashBLAKE2s),
		Random:        x.params.random,
		Pattern:       noise.HandshakeXX,
		Initiator:     x.initiator,
		Prologue:      x.params.prologue,
		PresharedKey:  x.params.psk[:],
		StaticKeypair: x.params.static,
	})
}

// initiate begins an exchange and returns the Noise message 1. The error is the random reader's.
func (n *noiseParams) initiate(payload []byte) (*exchange, []byte, error) {
	x := &exchange{params: n, own: &ownDH{DHFunc: n.dh, sealed: true}, initiator: true, payload: payload}
	_, message, err := x.write1()
	return x, message, err
}

func (x *exchange) write1() (*noise.HandshakeState, []byte, error) {
	hs, err := x.state()
	if err != nil {
		return nil, nil, fmt.Errorf("preparing a handshake: %w", err)
	}
	message, _, _, err := hs.WriteMessage(nil, x.payload)
	if err != nil {
		return nil, nil, fmt.Errorf("writing message 1: %w", err)
	}
	return hs, message, nil
}

// read2 opens a Noise message 2 and returns its payload and sender, and the state that finish needs.
func (x *exchange) read2(message []byte) (hs *noise.HandshakeState, payload []byte, from NodeID, err error) {
	hs, _, err = x.write1()
	if err != nil {
		return nil, nil, NodeID{}, err
	}
	payload, _, _, err = hs.ReadMessage(nil, message)
	if err != nil {
		return nil, nil, NodeID{}, fmt.Errorf("opening message 2: %w", err)
	}
	return hs, payload, NodeID(hs.PeerStatic()), nil
}

// finish returns the Noise message 3 and the transport keys.
func (x *exchange) finish(hs *noise.HandshakeState, payload []byte) ([]byte, transportKeys, error) {
	message, toResponder, toInitiator, err := hs.WriteMessage(nil, payload)
	if err != nil {
		return nil, transportKeys{}, fmt.Errorf("writing message 3: %w", err)
	}
	return message, transportKeys{toResponder.UnsafeKey(), toInitiator.UnsafeKey()}, nil
}

// read1 opens a Noise message 1, without Diffie-Hellman, and returns its payload and the state that answer needs. The
// exchange keeps message.
func (n *noiseParams) read1(message []byte) (x *exchange, hs *noise.HandshakeState, payload []byte, err error) {
	x = &exchange{params: n, own: &ownDH{DHFunc: n.dh}, message1: message}
	hs, err = x.state()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("preparing a handshake: %w", err)
	}
	payload, _, _, err = hs.ReadMessage(nil, message)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("opening message 1: %w", err)
	}
	return x, hs, payload, nil
}

// answer returns the Noise message 2.
func (x *exchange) answer(hs *noise.HandshakeState, payload []byte) ([]byte, error) {
	x.payload = payload
	message, _, _, err := hs.WriteMessage(nil, payload)
	if err != nil {
		return nil, fmt.Errorf("writing message 2: %w", err)
	}
	x.own.sealed = true
	return message, nil
}

// read3 opens a Noise message 3 and returns its payload, its sender and the transport keys.
func (x *exchange) read3(message []byte) (payload []byte, from NodeID, keys transportKeys, err error) {
	hs, err := x.state()
	if err != nil {
		return nil, NodeID{}, transportKeys{}, fmt.Errorf("preparing a handshake: %w", err)
	}
	if _, _, _, err = hs.ReadMessage(nil, x.message1); err == nil {
		_, _, _, err = hs.WriteMessage(nil, x.payload)
	}
	if err != nil {
		return nil, NodeID{}, transportKeys{}, fmt.Errorf("repeating messages 1 and 2: %w", err)
	}
	payload, toResponder, toInitiator, err := hs.ReadMessage(nil, message)
	if err != nil {
		return nil, NodeID{}, transportKeys{}, fmt.Errorf("opening message 3: %w", err)
	}
	return payload, NodeID(hs.PeerStatic()), transportKeys{toResponder.UnsafeKey(), toInitiator.UnsafeKey()}, nil
}

// ownDH is the Diffie-Hellman function of one exchange: it always generates the same ephemeral key, and remembers the
// results of a responder's message 2.
type ownDH struct {
	noise.DHFunc
	ephemeral noise.DHKey
	results   []dhResult
	sealed    bool // nothing is added to results any more: forged messages would
}

type dhResult struct{ private, public, shared []byte }

// GenerateKeypair returns the exchange's ephemeral key.
func (d *ownDH) GenerateKeypair(random io.Reader) (noise.DHKey, error) {
	if d.ephemeral.Private == nil {
		key, err := d.DHFunc.GenerateKeypair(random)
		if err != nil {
			return noise.DHKey{}, err
		}
		d.ephemeral = key
	}
	return d.ephemeral, nil
}

// DH returns the shared secret of private and public.
func (d *ownDH) DH(private, public []byte) ([]byte, error) {
	for _, r := range d.results {
		if subtle.ConstantTimeCompare(r.private, private)&subtle.ConstantTimeCompare(r.public, public) == 1 {
			return r.shared, nil
		}
	}
	shared, err := d.DHFunc.DH(private, public)
	if err == nil && !d.sealed {
		d.results = append(d.results, dhResult{private, append([]byte(nil), public...), shared})
	}
	return shared, err
}

// newKeypair returns the keypair of s that the keys of a handshake make.
func (m *Machine) newKeypair(a agreement) (*Keypair, error) {
	k := &Keypair{index: a.index, remote: a.remote, initiator: a.initiator, created: m.now, counters: &m.counters}
	out, in := a.keys.toResponder, a.keys.toInitiator
	if !a.initiator {
		out, in = in, out
	}
	var err error
	if k.send, err = newAEAD(a.cipher, out); err != nil {
		return nil, err
	}
	if k.receive, err = newAEAD(a.cipher, in); err != nil {
		return nil, err
	}
	k.confirmed.Store(!a.initiator)
	return k, nil
}

// agreement is the outcome of a handshake, with a peer that is authenticated.
type agreement struct {
	peer      NodeID
	instance  uint64         // the peer's
	observed  netip.AddrPort // how the peer sees us
	from      wire.Endpoint  // of the peer's last message
	cipher    wire.Cipher
	keys      transportKeys
	index     uint32 // ours
	remote    uint32 // the peer's
	initiator bool
	message3  []byte // the datagram, if we are the initiator
	took      time.Duration
	rtt       time.Duration // of the peer's last answer
}
