package registry

import "iter"

// Reader reads the records. Keys are short paths of printable ASCII without the engine's own prefix, "node/6f1c…";
// values are at most a few kilobytes and belong to the reader's maker: nobody changes them.
type Reader interface {
	// Get returns the value of key.
	Get(key string) (value []byte, ok bool)
	// Range returns the records whose keys begin with prefix, which ends in "/", in the order of their keys.
	Range(prefix string) iter.Seq2[string, []byte]
}

// Tx is a Reader that Apply writes to. Records are written and never deleted.
type Tx interface {
	Reader
	// Look is Get for a value on which the outcome does not depend: should it have changed by the time of the commit,
	// what Apply decided still holds. The same goes for Range. An engine that commits by comparing compares the keys of
	// Get and Put only.
	Look(key string) (value []byte, ok bool)
	// Put sets the value of key. The value belongs to the Tx from now on.
	Put(key string, value []byte)
}
