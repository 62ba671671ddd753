package mesh

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"meshnet/meshd/offload"
	"meshnet/meshd/wire"
)

// offloadVectors reads the block of docs/protocol.md, "Offload header".
func offloadVectors(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```offload-vectors\n")
	block, _, _ = strings.Cut(block, "```")
	values := make(map[string][]byte)
	name := ""
	for line := range strings.Lines(block) {
		digits := line
		if before, after, named := strings.Cut(line, "="); named {
			name, digits = strings.TrimSpace(before), after
		}
		b, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil {
			t.Fatalf("vector line %q: %v", line, err)
		}
		values[name] = append(values[name], b...)
	}
	return values
}

// A second implementation sends the same pieces of the frame that docs/protocol.md, "Offload header", shows.
func TestOffloadVectors(t *testing.T) {
	v := offloadVectors(t)
	p := append(bytes.Clone(v["offload_header"]), v["offload_frame_headers"]...)
	for i := range 1180 {
		p = append(p, byte(i%251))
	}
	if err := offload.Check(p, 1518); err != nil {
		t.Fatalf("Check() = %v", err)
	}
	whole := newPayload(bytes.Clone(p))
	b, pieces, size := whole.cut(wire.MaxPayload)
	if want := append(bytes.Clone(p), v["offload_tail"]...); !whole.offloaded || !bytes.Equal(b, want) {
		t.Errorf("payload = %x, want %x", b, want)
	}
	if pieces != 2 || size != 654 {
		t.Errorf("%d pieces of %d bytes, want 2 of 654", pieces, size)
	}
	if frames := plainFrames(p); len(frames) != 2 || len(frames[0]) != 54+600 || len(frames[1]) != 54+580 {
		t.Errorf("segments = %d, want 2, of 654 and 634 bytes", len(frames))
	}
}
