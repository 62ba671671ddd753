package registry

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Map holds the records in memory. It is a Tx whose writes take effect at once. The zero value is empty and ready. Not safe for concurrent use.
type Map struct {
	tables map[string]map[string][]byte // by the part of the key up to and with the first "/", then by the whole key
}

// Get implements Reader.
func (m *Map) Get(key string) ([]byte, bool) {
	v, ok := m.tables[table(key)][key]
	return v, ok
}

// Look implements Tx.
func (m *Map) Look(key string) ([]byte, bool) { return m.Get(key) }

// Put implements Tx.
func (m *Map) Put(key string, value []byte) {
	name := table(key)
	if m.tables == nil {
		m.tables = make(map[string]map[string][]byte)
	}
	if m.tables[name] == nil {
		m.tables[name] = make(map[string][]byte)
	}
	m.tables[name][key] = value
}

// Range implements Reader. The records must not change while it goes on.
func (m *Map) Range(prefix string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		records := m.tables[table(prefix)]
		for _, key := range slices.Sorted(maps.Keys(records)) {
			if strings.HasPrefix(key, prefix) && !yield(key, records[key]) {
				return
			}
		}
	}
}

// All returns all records in the order of their keys within each table, the tables in the order of their names.
func (m *Map) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(m.tables)) {
			for _, key := range slices.Sorted(maps.Keys(m.tables[name])) {
				if !yield(key, m.tables[name][key]) {
					return
				}
			}
		}
	}
}

// Len returns the number of records.
func (m *Map) Len() int {
	n := 0
	for _, records := range m.tables {
		n += len(records)
	}
	return n
}

// Clone returns a copy that shares only the values, which nobody changes.
func (m *Map) Clone() *Map {
	c := &Map{tables: make(map[string]map[string][]byte, len(m.tables))}
	for name, records := range m.tables {
		c.tables[name] = maps.Clone(records)
	}
	return c
}

// table returns the part of key up to and with its first "/".
func table(key string) string { return key[:strings.IndexByte(key, '/')+1] }
