package session

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	"meshnet/meshd/wire"
)

var update = flag.Bool("update", false, "write the test vectors into docs/protocol.md")

const (
	protocolFile = "../../docs/protocol.md"
	fenceBegin   = "```vectors\n"
	fenceEnd     = "```\n"
)

// vectors are the named byte strings of docs/protocol.md, "Test vectors", in their order.
type vectors struct {
	names  []string
	values map[string][]byte
}

// readVectors reads every block fenced as vectors: lines "name = hex", where the hex may go on in lines that begin with
// a space.
func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	v := vectors{values: make(map[string][]byte)}
	for rest := string(text); ; {
		_, after, found := strings.Cut(rest, fenceBegin)
		if !found {
			return v
		}
		block, after, _ := strings.Cut(after, fenceEnd)
		rest = after
		for line := range strings.Lines(block) {
			digits := line
			if name, value, named := strings.Cut(line, "="); named {
				v.names = append(v.names, strings.TrimSpace(name))
				digits = value
			}
			b, err := hex.DecodeString(strings.TrimSpace(digits))
			if err != nil || len(v.names) == 0 {
				t.Fatalf("vector line %q: %v", line, err)
			}
			last := v.names[len(v.names)-1]
			v.values[last] = append(v.values[last], b...)
		}
	}
}

// writeVectors replaces the values in the document by v's.
func writeVectors(t *testing.T, v vectors) {
	t.Helper()
	text, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fenced := false
	for line := range strings.Lines(string(text)) {
		switch name, _, named := strings.Cut(line, "="); {
		case line == fenceBegin:
			fenced = true
		case line == fenceEnd:
			fenced = false
		case fenced && named:
			line = strings.TrimRight(name, " ") + " =" + wrapHex(v.values[strings.TrimSpace(name)])
		case fenced:
			line = "" // the rest of a value
		}
		out.WriteString(line)
	}
	if err := os.WriteFile(protocolFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wrapHex returns b in hex: in the same line if it is short, else in lines of 32 bytes.
func wrapHex(b []byte) string {
	if len(b) <= 32 {
		return " " + hex.EncodeToString(b) + "\n"
	}
	s := "\n"
	for ; len(b) > 32; b = b[32:] {
		s += "  " + hex.EncodeToString(b[:32]) + "\n"
	}
	return s + "  " + hex.EncodeToString(b) + "\n"
}

// The inputs of the vectors; everything else follows from them.
const (
	vectorName       = "example"
	vectorPassphrase = "correct horse battery staple"
	vectorIndexI     = 0x01000200
	vectorIndexR     = 0x02000300
	vectorTime       = 1767225600_000000000 // 2026-01-01T00:00:00Z
	vectorInstanceI  = 1767139200_000000001
	vectorInstanceR  = 1767139200_000000002
	vectorPiece      = (14 + wire.MaxPayload) / 2 // bytes of each piece of long_frame
)

var (
	vectorEndpointI = netip.MustParseAddrPort("192.0.2.1:7000")
	vectorEndpointR = netip.MustParseAddrPort("[2001:db8::2]:7000")
	vectorProbe     = wire.Probe{Number: 7, Size: wire.MaxDatagram}
	vectorOther     = NodeID(counting(0xa0, 32)) // the other end of what is relayed
	vectorFrame     = append([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5"), "meshnet frame one"...)
)

// counting returns n bytes that count up from first.
func counting(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// vectorSide returns one side's parameters, which make the given ephemeral key.
func vectorSide(t *testing.T, psk [32]byte, private, ephemeral []byte) (noiseParams, Identity) {
	t.Helper()
	identity, err := IdentityFromPrivate([32]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	return newNoiseParams(Config{
		NetworkID: NetworkID(vectorName, psk), PSK: psk, Identity: identity, Rand: bytes.NewReader(ephemeral),
	}), identity
}

// computeVectors makes all vectors with this implementation.
func computeVectors(t *testing.T) map[string][]byte {
	t.Helper()
	v := make(map[string][]byte)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stretched, err := PSKFromPassphrase(vectorName, vectorPassphrase)
	must(err)
	v["passphrase_psk"] = stretched[:]
	psk := [32]byte(counting(0x00, 32))
	id := NetworkID(vectorName, psk)
	v["psk"], v["network_id"] = psk[:], id[:]
	v["initiator_static_private"], v["responder_static_private"] = counting(0x20, 32), counting(0x40, 32)
	v["initiator_ephemeral_private"], v["responder_ephemeral_private"] = counting(0x60, 32), counting(0x80, 32)
	initiator, idI := vectorSide(t, psk, v["initiator_static_private"], v["initiator_ephemeral_private"])
	responder, idR := vectorSide(t, psk, v["responder_static_private"], v["responder_ephemeral_private"])
	v["initiator_static_public"], v["responder_static_public"] = idI.Public[:], idR.Public[:]

	v["payload_1"] = wire.Payload1{Capabilities: wire.CapAES, Sender: vectorIndexI, Timestamp: vectorTime}.Append(nil)
	v["payload_2"] = wire.Payload2{
		Cipher: wire.AES256GCM, Sender: vectorIndexR, Instance: vectorInstanceR, Observed: vectorEndpointI,
	}.Append(nil)
	v["payload_3"] = wire.Payload3{Instance: vectorInstanceI, Observed: vectorEndpointR}.Append(nil)

	xi, message1, err := initiator.initiate(v["payload_1"])
	must(err)
	v["initiator_ephemeral_public"] = xi.own.ephemeral.Public
	v["handshake_1"] = append(wire.HandshakeHeader{Type: wire.TypeHandshake1}.Append(nil), message1...)
	xr, hs, _, err := responder.read1(message1)
	must(err)
	message2, err := xr.answer(hs, v["payload_2"])
	must(err)
	v["responder_ephemeral_public"] = xr.own.ephemeral.Public
	v["handshake_2"] = append(wire.HandshakeHeader{Type: wire.TypeHandshake2, Receiver: vectorIndexI}.Append(nil), message2...)
	hs, _, _, err = xi.read2(message2)
	must(err)
	message3, keys, err := xi.finish(hs, v["payload_3"])
	must(err)
	v["handshake_3"] = append(wire.HandshakeHeader{Type: wire.TypeHandshake3, Receiver: vectorIndexR}.Append(nil), message3...)
	v["key_initiator_to_responder"], v["key_responder_to_initiator"] = keys.toResponder[:], keys.toInitiator[:]

	v["frame"] = vectorFrame
	v["long_frame"] = append(bytes.Clone(vectorFrame[:14]), counting(0, wire.MaxPayload)...)
	v["probe"] = vectorProbe.AppendAck(nil)
	v["relay_payload"] = wire.AppendRelay(nil, vectorOther, v["handshake_1"])
	for name, seal := range sealedVectors() {
		v[name] = seal.by(vectorKeypair(t, seal, keys), v)
	}
	return v
}

// sealedVector says how one sealed message of the vectors is made.
type sealedVector struct {
	cipher      wire.Cipher
	toInitiator bool
	header      wire.Header
	of          string // vector that the payload is part of; "" for none
	from, to    int    // the part; to = 0 means its end
	padding     int    // zero bytes behind it
}

func sealedVectors() map[string]sealedVector {
	frame := func(counter uint64, piece uint8, more bool) wire.Header {
		return wire.Header{Type: wire.TypeFrame, Piece: piece, More: more, Counter: counter}
	}
	return map[string]sealedVector{
		"sealed_frame_aes256gcm":        {wire.AES256GCM, false, frame(5, 0, false), "frame", 0, 0, 0},
		"sealed_frame_chacha20poly1305": {wire.ChaCha20Poly1305, false, frame(5, 0, false), "frame", 0, 0, 0},
		"sealed_keepalive_aes256gcm":    {wire.AES256GCM, true, wire.Header{Type: wire.TypeKeepalive}, "", 0, 0, 0},
		"sealed_piece_0_aes256gcm":      {wire.AES256GCM, false, frame(6, 0, true), "long_frame", 0, vectorPiece, 0},
		"sealed_piece_1_aes256gcm":      {wire.AES256GCM, false, frame(7, 1, false), "long_frame", vectorPiece, 0, 0},
		"sealed_probe_aes256gcm": {
			wire.AES256GCM, false, wire.Header{Type: wire.TypeProbe, Counter: 8}, "probe", 0, 0, wire.MaxPayload - wire.ProbeLen,
		},
		"sealed_relay_aes256gcm":     {wire.AES256GCM, false, wire.Header{Type: wire.TypeRelay, Counter: 9}, "relay_payload", 0, 0, 0},
		"sealed_relayed_aes256gcm":   {wire.AES256GCM, true, wire.Header{Type: wire.TypeRelayed, Counter: 2}, "relay_payload", 0, 0, 0},
		"sealed_punch_aes256gcm":     {wire.AES256GCM, false, wire.Header{Type: wire.TypePunch, Counter: 10}, "", 0, 0, 0},
		"sealed_probe_ack_aes256gcm": {wire.AES256GCM, true, wire.Header{Type: wire.TypeProbeAck, Counter: 1}, "probe", 0, 0, 0},
	}
}

// payload returns what s seals, from the vectors v.
func (s sealedVector) payload(v map[string][]byte) []byte {
	part := v[s.of]
	if s.to != 0 {
		part = part[:s.to]
	}
	return append(bytes.Clone(part[s.from:]), make([]byte, s.padding)...)
}

func (s sealedVector) by(k *Keypair, v map[string][]byte) []byte {
	return k.Seal(nil, s.header, s.payload(v))
}

// vectorKeypair returns a keypair that seals as the sender of s and opens as its receiver.
func vectorKeypair(t *testing.T, s sealedVector, keys transportKeys) *Keypair {
	t.Helper()
	k, err := New(Config{}).newKeypair(agreement{cipher: s.cipher, keys: keys, remote: vectorIndexR, initiator: true})
	if s.toInitiator {
		k, err = New(Config{}).newKeypair(agreement{cipher: s.cipher, keys: keys, remote: vectorIndexI})
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// What this implementation makes from the inputs is what the document says.
func TestVectorsWritten(t *testing.T) {
	computed := computeVectors(t)
	documented := readVectors(t)
	if *update {
		documented.values = computed
		writeVectors(t, documented)
	}
	for name, want := range computed {
		if got, ok := documented.values[name]; !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: the document says %x, made %x", name, got, want)
		}
	}
	for _, name := range documented.names {
		if _, ok := computed[name]; !ok {
			t.Errorf("the document has %s, which no test checks", name)
		}
	}
}

// What the document says is understood: each side reads what the other sent.
func TestVectorsRead(t *testing.T) {
	v := readVectors(t).values
	psk := [32]byte(v["psk"])
	responder, _ := vectorSide(t, psk, v["responder_static_private"], v["responder_ephemeral_private"])
	_, noise1, err := wire.ParseHandshake(v["handshake_1"])
	if err != nil {
		t.Fatal(err)
	}
	xr, hs, payload1, err := responder.read1(noise1)
	if err != nil || !bytes.Equal(payload1, v["payload_1"]) {
		t.Fatalf("message 1 reads as %x, %v", payload1, err)
	}
	if p, err := wire.ParsePayload1(payload1); err != nil || p.Sender != vectorIndexI || p.Timestamp != vectorTime {
		t.Errorf("payload 1 reads as %+v, %v", p, err)
	}
	if _, err := xr.answer(hs, v["payload_2"]); err != nil {
		t.Fatal(err)
	}
	initiator, _ := vectorSide(t, psk, v["initiator_static_private"], v["initiator_ephemeral_private"])
	xi, _, err := initiator.initiate(v["payload_1"])
	if err != nil {
		t.Fatal(err)
	}
	h2, noise2, err := wire.ParseHandshake(v["handshake_2"])
	if err != nil || h2.Receiver != vectorIndexI {
		t.Fatalf("handshake 2 reads as %+v, %v", h2, err)
	}
	_, payload2, from, err := xi.read2(noise2)
	if err != nil || !bytes.Equal(payload2, v["payload_2"]) || from != NodeID(v["responder_static_public"]) {
		t.Fatalf("message 2 reads as %x from %v, %v", payload2, from, err)
	}
	h3, noise3, err := wire.ParseHandshake(v["handshake_3"])
	if err != nil || h3.Receiver != vectorIndexR {
		t.Fatalf("handshake 3 reads as %+v, %v", h3, err)
	}
	payload3, from, keys, err := xr.read3(noise3)
	if err != nil || !bytes.Equal(payload3, v["payload_3"]) || from != NodeID(v["initiator_static_public"]) {
		t.Fatalf("message 3 reads as %x from %v, %v", payload3, from, err)
	}
	if !bytes.Equal(keys.toResponder[:], v["key_initiator_to_responder"]) ||
		!bytes.Equal(keys.toInitiator[:], v["key_responder_to_initiator"]) {
		t.Errorf("transport keys %x", keys)
	}
	for name, s := range sealedVectors() {
		h, err := wire.ParseHeader(v[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k := vectorKeypair(t, s, keys)
		k.send, k.receive = k.receive, k.send // the other end
		payload, err := k.Open(h, bytes.Clone(v[name]))
		if err != nil || !bytes.Equal(payload, s.payload(v)) {
			t.Errorf("%s opens to %x, %v", name, payload, err)
		}
		if p, err := wire.ParseProbe(payload); h.Type == wire.TypeProbe && (err != nil || p != vectorProbe) {
			t.Errorf("%s reads as %+v, %v", name, p, err)
		}
		if p, err := wire.ParseProbeAck(payload); h.Type == wire.TypeProbeAck && (err != nil || p != vectorProbe) {
			t.Errorf("%s reads as %+v, %v", name, p, err)
		}
		if h.Type == wire.TypeRelay || h.Type == wire.TypeRelayed {
			if id, datagram, err := wire.ParseRelay(payload); err != nil || id != vectorOther || !bytes.Equal(datagram, v["handshake_1"]) {
				t.Errorf("%s reads as %x, %x, %v", name, id, datagram, err)
			}
		}
		if index := binary.BigEndian.Uint32(v[name][4:]); index != k.remote {
			t.Errorf("%s is for index %08x, want %08x", name, index, k.remote)
		}
	}
}
