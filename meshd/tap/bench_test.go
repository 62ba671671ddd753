package tap_test

import (
	"slices"
	"testing"

	"meshnet/meshd/tap"
)

// 64 small frames to the kernel, which drops them: the cost of the calls.
func BenchmarkWriteSmall(b *testing.B) {
	newNamespace(b)
	d := open(b, tap.Config{Name: "mesh0", MTU: 1500})
	batch := packets(slices.Repeat([][]byte{frame(64, 1)}, 64)...)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := d.WriteBatch(batch); n != len(batch) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// 64 small frames from the kernel, with what it costs a packet socket to send them.
func BenchmarkReadSmall(b *testing.B) {
	newNamespace(b)
	d := open(b, tap.Config{Name: "mesh0", MTU: 1500})
	device, f, batch := openPacket(b, "mesh0"), frame(64, 1), make([][]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		for range batch {
			device.send(f)
		}
		for got := 0; got < len(batch); {
			n, err := d.ReadBatch(batch)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}
