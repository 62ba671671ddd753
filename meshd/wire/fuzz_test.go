package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

// The property of all these: nothing panics, and Append undoes Parse.

func FuzzParseHeader(f *testing.F) {
	for typ := TypeHandshake1; typ <= TypePunch; typ++ {
		f.Add(append(Header{Type: typ, Receiver: 1 << 31, Counter: 1 << 59}.Append(nil), make([]byte, TagLen)...))
	}
	f.Add(append(Header{Type: TypeFrame, Piece: 1, More: true}.Append(nil), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if got := h.Append(nil); !bytes.Equal(got, b[:HeaderLen]) {
			t.Errorf("ParseHeader(%x) = %+v, which appends %x", b, h, got)
		}
		if index, handshake, err := Receiver(b); err != nil || handshake || index != h.Receiver {
			t.Errorf("Receiver(%x) = %08x, %v, %v", b, index, handshake, err)
		}
	})
}

func FuzzParseHandshake(f *testing.F) {
	for typ, n := range map[Type]int{TypeHandshake1: Noise1Len, TypeHandshake2: Noise2Len, TypeHandshake3: Noise3Len} {
		f.Add(append(HandshakeHeader{Type: typ, Receiver: 7}.Append(nil), make([]byte, n)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, message, err := ParseHandshake(b)
		if err != nil {
			return
		}
		if got := append(h.Append(nil), message...); !bytes.Equal(got, b) {
			t.Errorf("ParseHandshake(%x) = %+v and %x", b, h, message)
		}
	})
}

func FuzzReceiver(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, handshake, err := Receiver(b)
		if h, _, parseErr := ParseHandshake(b); parseErr == nil && h.Type != TypeHandshake1 && (err != nil || !handshake) {
			t.Errorf("Receiver(%x) = %v, %v", b, handshake, err)
		}
	})
}

func FuzzParsePayload1(f *testing.F) {
	f.Add(Payload1{Capabilities: CapAES, Sender: 1, Timestamp: -1}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePayload1(b); err == nil && !bytes.Equal(p.Append(nil), b[:Payload1Len]) {
			t.Errorf("ParsePayload1(%x) = %+v", b, p)
		}
	})
}

func FuzzParsePayload2(f *testing.F) {
	f.Add(Payload2{Cipher: AES256GCM, Sender: 1, Observed: netip.MustParseAddrPort("192.0.2.1:1")}.Append(nil))
	f.Add(Payload2{Cipher: ChaCha20Poly1305}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePayload2(b)
		if err != nil {
			return
		}
		// An endpoint that is no endpoint reads as none, so the bytes may differ, but not the meaning.
		if again, err := ParsePayload2(p.Append(nil)); err != nil || again != p {
			t.Errorf("ParsePayload2(%x) = %+v, then %+v, %v", b, p, again, err)
		}
	})
}

func FuzzParsePayload3(f *testing.F) {
	f.Add(Payload3{Instance: 1, Observed: netip.MustParseAddrPort("[2001:db8::1]:1")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePayload3(b)
		if err != nil {
			return
		}
		if again, err := ParsePayload3(p.Append(nil)); err != nil || again != p {
			t.Errorf("ParsePayload3(%x) = %+v, then %+v, %v", b, p, again, err)
		}
	})
}

func FuzzParseClose(f *testing.F) {
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseClose(b); err == nil && r.Append(nil)[0] != b[0] {
			t.Errorf("ParseClose(%x) = %v", b, r)
		}
	})
}

func FuzzParseProbe(f *testing.F) {
	f.Add(Probe{Number: 1, Size: MaxDatagram}.Append(nil))
	f.Add(Probe{Number: 1 << 31, Size: 8972}.Append(nil))
	f.Add(Probe{Number: 7, Size: MaxDatagram - 1}.Append(nil))
	f.Add(Probe{Number: 7, Size: 1472}.AppendAck(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, ackErr := ParseProbeAck(b)
		if ackErr == nil && !bytes.Equal(ack.AppendAck(nil), b[:ProbeLen]) {
			t.Errorf("ParseProbeAck(%x) = %+v", b, ack)
		}
		p, err := ParseProbe(b)
		if err != nil {
			return
		}
		// What pads does not matter.
		if got := p.Append(nil); ackErr != nil || p != ack || len(got) != len(b) || !bytes.Equal(got[:ProbeLen], b[:ProbeLen]) {
			t.Errorf("ParseProbe(%x) = %+v, which appends %x; ParseProbeAck = %+v, %v", b, p, got, ack, ackErr)
		}
	})
}

func FuzzParseRelay(f *testing.F) {
	f.Add(AppendRelay(nil, [RelayIDLen]byte{1, 2}, Header{Type: TypeFrame}.Append(nil)))
	f.Add(AppendRelay(nil, [RelayIDLen]byte{1, 2}, append(Header{Type: TypeRelay}.Append(nil), make([]byte, TagLen)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, datagram, err := ParseRelay(b)
		if err != nil {
			return
		}
		if got := AppendRelay(nil, id, datagram); !bytes.Equal(got, b) {
			t.Errorf("ParseRelay(%x) = %x, %x", b, id, datagram)
		}
	})
}
