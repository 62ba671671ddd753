package registry

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Overlay is a Tx over records that it does not change: it keeps the writes for itself and remembers what the outcome
// depends on, for engines that commit by comparing. Not safe for concurrent use.
type Overlay struct {
	base   Reader
	read   map[string]struct{}
	writes map[string][]byte
}

// NewOverlay returns an Overlay over base, which must not change while the overlay is in use.
func NewOverlay(base Reader) *Overlay {
	return &Overlay{base: base, read: make(map[string]struct{}), writes: make(map[string][]byte)}
}

// Get implements Reader.
func (o *Overlay) Get(key string) ([]byte, bool) {
	o.read[key] = struct{}{}
	return o.Look(key)
}

// Look implements Tx.
func (o *Overlay) Look(key string) ([]byte, bool) {
	if v, ok := o.writes[key]; ok {
		return v, true
	}
	return o.base.Get(key)
}

// Put implements Tx.
func (o *Overlay) Put(key string, value []byte) { o.writes[key] = value }

// Range implements Reader: it merges base and writes.
func (o *Overlay) Range(prefix string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		written := o.writesUnder(prefix)
		for key, value := range o.base.Range(prefix) {
			for len(written) > 0 && written[0] < key {
				if !yield(written[0], o.writes[written[0]]) {
					return
				}
				written = written[1:]
			}
			if len(written) > 0 && written[0] == key {
				value, written = o.writes[key], written[1:]
			}
			if !yield(key, value) {
				return
			}
		}
		for _, key := range written {
			if !yield(key, o.writes[key]) {
				return
			}
		}
	}
}

func (o *Overlay) writesUnder(prefix string) []string {
	var keys []string
	for key := range o.writes {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Reads returns, sorted, the keys of base on whose values the writes depend, including those that base has no value
// for. All keys that are written are among them or should be compared too: see Keys.
func (o *Overlay) Reads() []string { return slices.Sorted(maps.Keys(o.read)) }

// Writes returns what was written. The map belongs to the Overlay.
func (o *Overlay) Writes() map[string][]byte { return o.writes }

// Keys returns, sorted, every key that was read by Get or written: what a commit has to compare.
func (o *Overlay) Keys() []string {
	all := maps.Clone(o.read)
	for key := range o.writes {
		all[key] = struct{}{}
	}
	return slices.Sorted(maps.Keys(all))
}
