package registry

import "fmt"

// commandVersion is the first byte of an encoded command.
const commandVersion = 1

// Append appends the encoding of c to dst and returns the extended slice: the version, the operation, the time, the registry, and the
// fields that the operation reads. The error, if a field is out of its bounds, wraps ErrInvalid; then dst is returned as it was.
func (c Command) Append(dst []byte) ([]byte, error) {
	w := &coder{buf: dst}
	version := byte(commandVersion)
	w.byte(&version)
	c.layout(w)
	err := w.end()
	if err == nil && len(w.buf)-len(dst) > MaxCommand {
		err = fmt.Errorf("%d bytes, the most is %d", len(w.buf)-len(dst), MaxCommand)
	}
	if err != nil {
		return dst, fmt.Errorf("encoding command %v: %w: %w", c.Op, ErrInvalid, err)
	}
	return w.buf, nil
}

// ParseCommand undoes Append. It keeps nothing of b. The error wraps ErrInvalid.
func ParseCommand(b []byte) (Command, error) {
	if len(b) > MaxCommand {
		return Command{}, fmt.Errorf("parsing command: %w: %d bytes, the most is %d", ErrInvalid, len(b), MaxCommand)
	}
	r := &coder{buf: b, parse: true}
	var version byte
	r.byte(&version)
	if r.err == nil && version != commandVersion {
		return Command{}, fmt.Errorf("parsing command: %w: version %d, this program knows %d: update it", ErrInvalid, version, commandVersion)
	}
	var c Command
	c.layout(r)
	if err := r.end(); err != nil {
		return Command{}, fmt.Errorf("parsing command %v: %w: %w", c.Op, ErrInvalid, err)
	}
	return c, nil
}

func (c *Command) layout(w *coder) {
	w.byte((*byte)(&c.Op))
	w.time(&c.Time)
	w.bytes(c.Registry[:])
	switch c.Op {
	case OpInit:
		w.nodeID(&c.Node)
		list(w, &c.Pools, MaxPools, w.pool)
		w.timing(&c.Timing)
	case OpRefresh, OpClaim, OpClaimAddress, OpCarveOut, OpReleaseBlock, OpReleaseAddress:
		w.nodeID(&c.Node)
		w.uint(&c.Instance)
		w.uint(&c.Epoch)
		w.uint(&c.Seq)
		w.uint(&c.Generation)
		c.callerLayout(w)
	case OpRemoveNode:
		w.nodeID(&c.To)
		w.text(&c.Comment, MaxText)
	case OpExpireNodes:
	case OpReserve, OpUnreserve:
		w.reservation(&c.Range)
	case OpAddPool:
		list(w, &c.Pools, MaxPools, w.pool)
	case OpRecover:
		w.uint(&c.Generation)
	default:
		w.fail(errRange)
	}
}

// callerLayout does what follows the caller in the commands of nodes.
func (c *Command) callerLayout(w *coder) {
	switch c.Op {
	case OpRefresh:
		w.text(&c.Name, MaxText)
		list(w, &c.Uses, maxList, w.blockUse)
		list(w, &c.Claims, maxList, w.addressUse)
		w.uint(&c.Journal)
	case OpClaim:
		w.prefix(&c.Pool)
		w.prefixes(&c.Have)
		w.prefix(&c.Block)
	case OpClaimAddress:
		w.addr(&c.Addr)
		w.text(&c.Attachment, MaxText)
	case OpCarveOut:
		w.addr(&c.Addr)
		w.nodeID(&c.To)
		w.uint(&c.ToEpoch)
		w.text(&c.Attachment, MaxText)
	case OpReleaseBlock:
		w.prefix(&c.Block)
	case OpReleaseAddress:
		w.addr(&c.Addr)
	}
}
