package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	zeros16 = "00000000000000000000000000000000"
	zeros32 = zeros16 + zeros16
)

func TestParseHeader(t *testing.T) {
	const rest = "01020304" + "1112131415161718" + zeros16
	for _, test := range []struct {
		name, in string
		want     Header
		err      error
	}{
		{"frame", "04000000" + rest, Header{TypeFrame, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"first piece", "04000100" + rest, Header{TypeFrame, 0, true, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"with an offload header", "04000200" + rest, Header{TypeFrame, 0, false, true, 0, 0x01020304, 0x1112131415161718}, nil},
		{"piece with an offload header", "04070300" + rest, Header{TypeFrame, 7, true, true, 0, 0x01020304, 0x1112131415161718}, nil},
		{"last piece", "04ff0000" + rest, Header{TypeFrame, 255, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"keepalive", "05000000" + rest, Header{TypeKeepalive, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"close", "08000000" + rest + "01", Header{TypeClose, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"handshake", "01000000" + rest, Header{}, ErrType},
		{"type 0", "00000000" + rest, Header{}, ErrType},
		{"probe", "09000000" + rest, Header{TypeProbe, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"acknowledgement", "0a000000" + rest, Header{TypeProbeAck, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"piece of a probe", "09010000" + rest, Header{}, ErrReserved},
		{"relay", "0b000000" + rest, Header{TypeRelay, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"relayed", "0c000000" + rest, Header{TypeRelayed, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"relay of a lane", "0b000001" + rest, Header{}, ErrReserved},
		{"punch", "0d000000" + rest, Header{TypePunch, 0, false, false, 0, 0x01020304, 0x1112131415161718}, nil},
		{"type 14", "0e000000" + rest, Header{}, ErrType},
		{"frame of the last lane", "04000003" + rest, Header{TypeFrame, 0, false, false, 3, 0x01020304, 0x1112131415161718}, nil},
		{"probe of a lane", "09000001" + rest, Header{TypeProbe, 0, false, false, 1, 0x01020304, 0x1112131415161718}, nil},
		{"lane 4", "04000004" + rest, Header{}, ErrReserved},
		{"lane 255", "040000ff" + rest, Header{}, ErrReserved},
		{"keepalive of a lane", "05000001" + rest, Header{}, ErrReserved},
		{"acknowledgement of a lane", "0a000001" + rest, Header{}, ErrReserved},
		{"flag bit 2", "04000400" + rest, Header{}, ErrReserved},
		{"offload header of a stream", "07000200" + rest, Header{}, ErrReserved},
		{"piece of a keepalive", "05010000" + rest, Header{}, ErrReserved},
		{"more of a stream", "07000100" + rest, Header{}, ErrReserved},
		{"no room for a tag", "04000000" + rest[:len(rest)-2], Header{}, ErrShort},
		{"empty", "", Header{}, ErrShort},
	} {
		b := unhex(t, test.in)
		got, err := ParseHeader(b)
		if !errors.Is(err, test.err) || got != test.want {
			t.Errorf("%s: ParseHeader(%s) = %+v, %v, want %+v, %v", test.name, test.in, got, err, test.want, test.err)
		}
		if err == nil && !bytes.Equal(got.Append(nil), b[:HeaderLen]) {
			t.Errorf("%s: Append = %x, want %x", test.name, got.Append(nil), b[:HeaderLen])
		}
	}
}

func TestParseHandshake(t *testing.T) {
	noise1 := hex.EncodeToString(make([]byte, Noise1Len))
	noise2 := hex.EncodeToString(make([]byte, Noise2Len))
	noise3 := hex.EncodeToString(make([]byte, Noise3Len))
	for _, test := range []struct {
		name, in string
		want     HandshakeHeader
		length   int
		err      error
	}{
		{"message 1", "01000000" + noise1, HandshakeHeader{TypeHandshake1, 0}, Noise1Len, nil},
		{"message 1 of a later version", "01000000" + noise1 + "00", HandshakeHeader{TypeHandshake1, 0}, Noise1Len + 1, nil},
		{"message 2", "0200000001020304" + noise2, HandshakeHeader{TypeHandshake2, 0x01020304}, Noise2Len, nil},
		{"message 3", "0300000001020304" + noise3, HandshakeHeader{TypeHandshake3, 0x01020304}, Noise3Len, nil},
		{"short message 1", "01000000" + noise1[2:], HandshakeHeader{}, 0, ErrShort},
		{"short message 2", "0200000001020304" + noise2[2:], HandshakeHeader{}, 0, ErrShort},
		{"short message 3", "0300000001020304" + noise3[2:], HandshakeHeader{}, 0, ErrShort},
		{"reserved", "01000100" + noise1, HandshakeHeader{}, 0, ErrReserved},
		{"sealed", "04000000" + noise1, HandshakeHeader{}, 0, ErrType},
		{"three bytes", "010000", HandshakeHeader{}, 0, ErrShort},
	} {
		b := unhex(t, test.in)
		h, message, err := ParseHandshake(b)
		if !errors.Is(err, test.err) || h != test.want || len(message) != test.length {
			t.Errorf("%s: ParseHandshake = %+v, %d bytes, %v, want %+v, %d, %v",
				test.name, h, len(message), err, test.want, test.length, test.err)
		}
		if err == nil && !bytes.Equal(append(h.Append(nil), message...), b) {
			t.Errorf("%s: Append does not undo ParseHandshake", test.name)
		}
	}
}

func TestReceiver(t *testing.T) {
	for _, test := range []struct {
		name, in  string
		index     uint32
		handshake bool
		err       error
	}{
		{"frame", "04ff010001020304", 0x01020304, false, nil},
		{"message 3", "0300000001020304", 0x01020304, true, nil},
		{"message 1", "0100000001020304", 0, false, ErrType},
		{"acknowledgement", "0a00000001020304", 0x01020304, false, nil},
		{"relay", "0b00000001020304", 0x01020304, false, nil},
		{"type 14", "0e00000001020304", 0, false, ErrType},
		{"frame of a lane", "0400000101020304", 0x01020304, false, nil},
		{"short", "04000000010203", 0, false, ErrShort},
	} {
		index, handshake, err := Receiver(unhex(t, test.in))
		if index != test.index || handshake != test.handshake || !errors.Is(err, test.err) {
			t.Errorf("%s: Receiver = %08x, %v, %v", test.name, index, handshake, err)
		}
	}
}

func TestPayloads(t *testing.T) {
	const v4, v6 = "00000000000000000000ffffc00002011b58", "20010db80000000000000000000000011b58"
	p1 := Payload1{Capabilities: CapAES, Sender: 0x01020304, Timestamp: 0x1112131415161718}
	p2 := Payload2{Cipher: AES256GCM, Sender: 0x01020304, Instance: 5, Observed: netip.MustParseAddrPort("192.0.2.1:7000")}
	p3 := Payload3{Instance: 5, Observed: netip.MustParseAddrPort("[2001:db8::1]:7000")}
	if got := hex.EncodeToString(p1.Append(nil)); got != "0101"+"01020304"+"1112131415161718" {
		t.Errorf("Payload1 = %s", got)
	}
	if got := hex.EncodeToString(p2.Append(nil)); got != "01"+"01020304"+"0000000000000005"+v4 {
		t.Errorf("Payload2 = %s", got)
	}
	if got := hex.EncodeToString(p3.Append(nil)); got != "0000000000000005"+v6 {
		t.Errorf("Payload3 = %s", got)
	}
	// Parsers accept longer input, for later versions.
	if got, err := ParsePayload1(append(p1.Append(nil), 9)); err != nil || got != p1 {
		t.Errorf("ParsePayload1 = %+v, %v", got, err)
	}
	if got, err := ParsePayload2(append(p2.Append(nil), 9)); err != nil || got != p2 {
		t.Errorf("ParsePayload2 = %+v, %v", got, err)
	}
	if got, err := ParsePayload3(append(p3.Append(nil), 9)); err != nil || got != p3 {
		t.Errorf("ParsePayload3 = %+v, %v", got, err)
	}
}

func TestPayloadErrors(t *testing.T) {
	if _, err := ParsePayload1(make([]byte, Payload1Len-1)); !errors.Is(err, ErrShort) {
		t.Errorf("ParsePayload1(short) = %v", err)
	}
	if _, err := ParsePayload1(make([]byte, Payload1Len)); !errors.Is(err, ErrVersion) {
		t.Errorf("ParsePayload1(version 0) = %v", err)
	}
	if _, err := ParsePayload2(make([]byte, Payload2Len-1)); !errors.Is(err, ErrShort) {
		t.Errorf("ParsePayload2(short) = %v", err)
	}
	if _, err := ParsePayload2(make([]byte, Payload2Len)); !errors.Is(err, ErrCipher) {
		t.Errorf("ParsePayload2(cipher 0) = %v", err)
	}
	if _, err := ParsePayload3(make([]byte, Payload3Len-1)); !errors.Is(err, ErrShort) {
		t.Errorf("ParsePayload3(short) = %v", err)
	}
	if p, err := ParsePayload3(make([]byte, Payload3Len)); err != nil || p.Observed.IsValid() {
		t.Errorf("ParsePayload3(zeros) = %+v, %v, want no endpoint", p, err)
	}
	if _, err := ParseClose(nil); !errors.Is(err, ErrShort) {
		t.Errorf("ParseClose(empty) = %v", err)
	}
	for _, r := range []CloseReason{CloseLeaving, CloseDuplicate, CloseRemoved, 200} {
		if got, err := ParseClose(append(r.Append(nil), 1)); err != nil || got != r || got.String() == "" {
			t.Errorf("ParseClose(%d) = %v, %v", r, got, err)
		}
	}
}

func TestStrings(t *testing.T) {
	seen := make(map[string]bool)
	for typ := range Type(15) {
		if s := typ.String(); s == "" || seen[s] {
			t.Errorf("type %d is called %q", typ, s)
		} else {
			seen[s] = true
		}
		if got, want := typ.Sealed(), typ >= 4 && typ <= 13; got != want {
			t.Errorf("%v.Sealed() = %v, want %v", typ, got, want)
		}
	}
	for c, want := range map[Cipher]string{1: "AES-256-GCM", 2: "ChaCha20-Poly1305", 3: "unknown cipher"} {
		if c.String() != want {
			t.Errorf("cipher %d is called %q, want %q", c, c, want)
		}
	}
}

func TestParsersDoNotAllocate(t *testing.T) {
	b := Header{Type: TypeFrame}.Append(nil)
	b = append(b, unhex(t, zeros32)...)
	if n := testing.AllocsPerRun(100, func() {
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		PutHeader(b, h)
		if _, _, err := Receiver(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
