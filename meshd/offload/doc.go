// Package offload is about frames whose checksum is still to be computed, or that are still to be cut into segments: what a
// kernel hands over with a virtio header instead of doing the work, and takes back with one (IFF_VNET_HDR, tun(4);
// include/uapi/linux/virtio_net.h). Between hosts such a frame travels as it is (docs/protocol.md, "Offload header"), so that
// nobody computes a checksum that the next one only would verify.
//
// The header of a frame that comes from elsewhere may lie. Check holds it against the frame; what it has passed, Segment cuts
// into plain frames in software, for a kernel that does not, and Slice takes whole segments out of, when some of the frame was
// lost on the way.
//
// A packet here is a Header and the frame behind it, in one slice. There is no state, and nothing allocates but Segment.
package offload
