package registry

import (
	"errors"
	"fmt"
)

// resultVersion is the first byte of an encoded result.
const resultVersion = 1

// Append appends the encoding of r to dst and returns the extended slice. A result that breaks a bound, which none of
// Apply does, is encoded as Invalid with a Comment that says so.
func (r Result) Append(dst []byte) []byte {
	w := &coder{buf: dst}
	version := byte(resultVersion)
	w.byte(&version)
	r.layout(w)
	if err := w.end(); err != nil {
		return Result{Code: Invalid, Comment: "result that cannot be encoded: " + err.Error()}.Append(dst)
	}
	return w.buf
}

// ParseResult undoes Append. It keeps nothing of b.
func ParseResult(b []byte) (Result, error) {
	c := &coder{buf: b, parse: true}
	var version byte
	c.byte(&version)
	if c.err == nil && version != resultVersion {
		return Result{}, fmt.Errorf("parsing result: version %d, this program knows %d: update it", version, resultVersion)
	}
	var r Result
	r.layout(c)
	if err := c.end(); err != nil {
		return Result{}, fmt.Errorf("parsing result: %w", err)
	}
	if r.Code >= codeEnd {
		return Result{}, errors.New("parsing result: unknown code")
	}
	return r, nil
}

func (r *Result) layout(w *coder) {
	w.byte((*byte)(&r.Code))
	w.bytes(r.Registry[:])
	w.nodeID(&r.Creator)
	w.time(&r.CreatedAt)
	w.uint(&r.Generation)
	w.time(&r.Time)
	w.timing(&r.Timing)
	w.uint(&r.Epoch)
	list(w, &r.Blocks, maxList, w.grant)
	list(w, &r.Claims, maxList, w.addressUse)
	w.prefixes(&r.Lost)
	list(w, &r.LostClaims, maxList, w.addr)
	list(w, &r.Pools, MaxPools, w.pool)
	list(w, &r.Reserved, maxReserved, w.reservation)
	w.prefix(&r.Pool)
	w.prefix(&r.Block)
	w.addr(&r.Addr)
	w.nodeID(&r.Holder)
	w.text(&r.HolderName, MaxText)
	w.text(&r.Attachment, MaxText)
	w.text(&r.Comment, 4*MaxText)
	w.time(&r.Until)
	list(w, &r.Usage, maxList, w.nodeUse)
	list(w, &r.Removed, maxList, w.nodeID)
}
