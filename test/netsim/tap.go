package netsim

import (
	"context"
	"fmt"
	"net"
	"sync"

	"meshnet/meshd/offload"
)

// A TAP is a TAP device without a kernel, with the methods of tap.Device. What a container would send is given to
// Inject; what containers would receive comes out of Next and Frames. All methods may be called from several goroutines
// at once.
type TAP struct {
	in, out chan []byte
	once    sync.Once
	done    chan struct{} // closed by Close
}

// NewTAP returns a TAP whose queues hold 1,024 frames in each direction, as a device's txqueuelen of 1,000 does; frames
// beyond are lost.
func NewTAP() *TAP {
	return &TAP{in: make(chan []byte, queueLen), out: make(chan []byte, queueLen), done: make(chan struct{})}
}

// Inject queues a copy of frame for ReadBatch. It reports false, and the frame is lost, if the queue is full or the TAP
// closed.
func (t *TAP) Inject(frame []byte) bool {
	return t.InjectPacket(append(make([]byte, offload.HeaderLen), frame...))
}

// InjectPacket is Inject for an offload header with its frame, as a kernel hands it over.
func (t *TAP) InjectPacket(packet []byte) bool {
	if t.isClosed() {
		return false
	}
	return offer(t.in, packet)
}

// Next waits for the next frame that WriteBatch was given. The error is ctx's, or net.ErrClosed once the TAP is closed
// and its last frame has been returned. The frame is the caller's.
func (t *TAP) Next(ctx context.Context) ([]byte, error) {
	select {
	case frame := <-t.out: // also after Close
		return frame, nil
	default:
	}
	select {
	case frame := <-t.out:
		return frame, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a frame: %w", ctx.Err())
	case <-t.done:
		return nil, fmt.Errorf("waiting for a frame: %w", net.ErrClosed)
	}
}

// Frames returns, without waiting, the frames that WriteBatch was given since Frames or Next last returned one. They
// are the caller's.
func (t *TAP) Frames() [][]byte {
	var frames [][]byte
	for {
		select {
		case frame := <-t.out:
			frames = append(frames, frame)
		default:
			return frames
		}
	}
}

// ReadBatch waits for a packet, which is an offload header and a frame, and reads as many as there are, at most
// len(packets). They are the caller's, with room for offload.TailLen bytes behind each. After Close the error is net.ErrClosed.
func (t *TAP) ReadBatch(packets [][]byte) (int, error) {
	if len(packets) == 0 {
		return 0, nil
	}
	if t.isClosed() {
		return 0, fmt.Errorf("reading from the TAP: %w", net.ErrClosed)
	}
	select {
	case packets[0] = <-t.in:
	case <-t.done:
		return 0, fmt.Errorf("reading from the TAP: %w", net.ErrClosed)
	}
	for i := 1; i < len(packets); i++ {
		select {
		case packets[i] = <-t.in:
		default:
			return i, nil
		}
	}
	return len(packets), nil
}

// WriteBatch queues the frames of all packets for Next and Frames, cut and completed as their headers say, and returns for how many
// packets there was room. After Close the error is net.ErrClosed.
func (t *TAP) WriteBatch(packets [][]byte) (int, error) {
	if t.isClosed() {
		return 0, fmt.Errorf("writing to the TAP: %w", net.ErrClosed)
	}
	written := 0
	for _, p := range packets {
		room := true
		offload.Segment(nil, append([]byte(nil), p...), func(plain []byte) { room = offer(t.out, plain[offload.HeaderLen:]) && room })
		if room {
			written++
		}
	}
	return written, nil
}

// Close makes ReadBatch and WriteBatch return net.ErrClosed. It may be called more than once.
func (t *TAP) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

func (t *TAP) isClosed() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// offer puts a copy of frame into queue if there is room.
func offer(queue chan []byte, frame []byte) bool {
	select {
	case queue <- append(make([]byte, 0, len(frame)+offload.TailLen), frame...):
		return true
	default:
		return false
	}
}
