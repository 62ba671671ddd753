package tap

import (
	"testing"

	"golang.org/x/sys/unix"

	"meshnet/meshd/offload"
)

// SetHeaderLen changes the length of the virtio header, as another program may.
func SetHeaderLen(d *Device, n int) error {
	fd, _ := d.queues[0].file.Acquire()
	defer d.queues[0].file.Release()
	return unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, n)
}

// "Each packet with room for offload.TailLen bytes behind it", whatever the lengths leave of the device's memory.
func TestLongestPackets(t *testing.T) {
	const longest = offload.MaxPacket
	tests := []struct {
		name    string
		lengths []int
	}{
		{"the longest", []int{longest, longest, longest, longest}},
		{"what leaves hardly room for one more", []int{65542, 65542, 65543, longest}},
		{"short ones in between", []int{longest, 24, longest, 24, longest, 24}},
	}
	for _, tt := range tests {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0) // one read, one packet
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
			t.Fatal(err)
		}
		for _, length := range tt.lengths {
			if _, err := unix.Write(fds[1], make([]byte, length)); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		var r reader
		r.init(true)
		packets := make([][]byte, len(tt.lengths))
		for got := 0; got < len(tt.lengths); {
			n, err := r.read(fds[0], packets)
			if err != nil || n == 0 {
				t.Fatalf("%s: read = %d, %v after %d packets", tt.name, n, err, got)
			}
			for i, p := range packets[:n] {
				if len(p) != tt.lengths[got+i] || cap(p) != len(p)+offload.TailLen {
					t.Errorf("%s: packet %d of %d bytes in %d, want %d and %d", tt.name, got+i, len(p), cap(p), tt.lengths[got+i], tt.lengths[got+i]+offload.TailLen)
				}
			}
			got += n
		}
		unix.Close(fds[0])
		unix.Close(fds[1])
	}
}
