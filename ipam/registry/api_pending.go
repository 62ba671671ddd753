package registry

import "errors"

// Apply decides c on the records of tx and writes what changes; a refused command writes nothing. It is deterministic.
func Apply(tx Tx, c Command) Result { return Result{Code: Empty} }

// Err returns nil for OK, else an error of one clear sentence that wraps one of the sentinels.
func (r Result) Err() error { return ErrEmpty }

// Append appends the encoding of c to dst.
func (c Command) Append(dst []byte) ([]byte, error) { return dst, errors.New("later") }

// ParseCommand undoes Append.
func ParseCommand(b []byte) (Command, error) { return Command{}, errors.New("later") }

// Append appends the encoding of r to dst.
func (r Result) Append(dst []byte) []byte { return dst }

// ParseResult undoes Append.
func ParseResult(b []byte) (Result, error) { return Result{}, errors.New("later") }

// Snapshot appends all records to dst: versioned, sorted, with a checksum.
func (m *Map) Snapshot(dst []byte) []byte { return dst }

// Restore makes a Map of what Snapshot gave.
func Restore(b []byte) (*Map, error) { return nil, errors.New("later") }

// Load reads the whole registry. The error wraps ErrCorrupt or ErrEmpty.
func Load(r Reader) (State, error) { return State{}, ErrEmpty }

// Violation is one broken promise.
type Violation struct {
	Rule string // a stable short name: "block-overlap"
	Text string // one sentence for people
}

func (v Violation) String() string { return v.Text }

// Check returns the invariants that s breaks; none for a sound registry.
func Check(s State) []Violation { return nil }

// PoolUse is how much of one pool is in use.
type PoolUse struct {
	Pool                                             Pool
	Blocks, Owned, Cooling, Free, Unusable           int // blocks; Unusable: no address in them may be leased
	Addresses, OwnedAddresses, Leased, Single, Apart int // addresses that may be leased at all; in owned blocks; held by attachments; single claims; reserved
	Nodes                                            []NodeUse
}

// Use returns the utilisation of each pool.
func Use(s State) []PoolUse { return nil }
