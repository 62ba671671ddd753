package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestParseProbe(t *testing.T) {
	pad := func(n int) []byte { return make([]byte, n-Overhead-ProbeLen) }
	for _, test := range []struct {
		name string
		in   []byte
		want Probe
		err  error
		ack  error // of ParseProbeAck
	}{
		{"of 1232 bytes", append(unhex(t, "01020304"+"04d0"), pad(1232)...), Probe{0x01020304, 1232}, nil, nil},
		{"of 8972 bytes", append(unhex(t, "00000000"+"230c"), pad(8972)...), Probe{0, 8972}, nil, nil},
		{"longer than it says", append(unhex(t, "01020304"+"04d0"), pad(1233)...), Probe{}, ErrSize, nil},
		{"shorter than it says", append(unhex(t, "01020304"+"05c0"), pad(1232)...), Probe{}, ErrSize, nil},
		{"not padded", unhex(t, "01020304"+"04d0"), Probe{}, ErrSize, nil},
		{"of 1231 bytes", append(unhex(t, "01020304"+"04cf"), pad(1231)...), Probe{}, ErrSize, ErrSize},
		{"size 0", unhex(t, "01020304"+"0000"), Probe{}, ErrSize, ErrSize},
		{"cut short", unhex(t, "01020304"+"04"), Probe{}, ErrShort, ErrShort},
		{"empty", nil, Probe{}, ErrShort, ErrShort},
	} {
		got, err := ParseProbe(test.in)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: ParseProbe = %+v, %v, want %+v, %v", test.name, got, err, test.want, test.err)
		}
		if _, err := ParseProbeAck(test.in); !errors.Is(err, test.ack) {
			t.Errorf("%s: ParseProbeAck = %v, want %v", test.name, err, test.ack)
		}
		if test.err == nil && !bytes.Equal(got.Append(nil), test.in) {
			t.Errorf("%s: Append = %x, want %x", test.name, got.Append(nil), test.in)
		}
	}
}

// "The acknowledgement is its number and size": 38 bytes for at least 1,232.
func TestProbeAckIsSmall(t *testing.T) {
	p := Probe{Number: 7, Size: MaxDatagram}
	if got := hex.EncodeToString(p.AppendAck(nil)); got != "0000000704d0" {
		t.Errorf("AppendAck = %s", got)
	}
	if got := len(p.Append(nil)) + Overhead; got != p.Size {
		t.Errorf("a probe of %d bytes has %d", p.Size, got)
	}
}
