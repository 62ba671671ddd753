package netsim

import (
	"context"
	"fmt"
	"net"
	"sync"
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
	if t.isClosed() {
		return false
	}
	return offer(t.in, frame)
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

// ReadBatch waits for a frame and reads as many as there are, at most len(frames). It fills frames[i] up to its
// capacity and reslices it to the frame; what does not fit is cut off, as read(2) on a TAP does. After Close the error
// is net.ErrClosed.
func (t *TAP) ReadBatch(frames [][]byte) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	if t.isClosed() {
		return 0, fmt.Errorf("reading from the TAP: %w", net.ErrClosed)
	}
	select {
	case frame := <-t.in:
		frames[0] = frames[0][:copy(frames[0][:cap(frames[0])], frame)]
	case <-t.done:
		return 0, fmt.Errorf("reading from the TAP: %w", net.ErrClosed)
	}
	for i := 1; i < len(frames); i++ {
		select {
		case frame := <-t.in:
			frames[i] = frames[i][:copy(frames[i][:cap(frames[i])], frame)]
		default:
			return i, nil
		}
	}
	return len(frames), nil
}

// WriteBatch queues copies of all frames for Next and Frames, and returns how many there was room for. After Close the
// error is net.ErrClosed.
func (t *TAP) WriteBatch(frames [][]byte) (int, error) {
	if t.isClosed() {
		return 0, fmt.Errorf("writing to the TAP: %w", net.ErrClosed)
	}
	written := 0
	for _, frame := range frames {
		if offer(t.out, frame) {
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
	case queue <- append([]byte(nil), frame...):
		return true
	default:
		return false
	}
}
