package etcdstore

import (
	"iter"
	"strings"

	"meshnet/ipam/registry"
)

// Keys, below the network's prefix.
const (
	recordsKey = "record/" // the registry's records, by their own keys
	marksKey   = "mark/"   // by node ID: the number of the node's newest commit
)

// entry is one key of etcd below the network's prefix.
type entry struct {
	key   string
	value []byte
	rev   int64 // etcd's mod_revision: the revision that wrote it
}

// mirror is the local copy of the network's keys: what etcd held at revision rev, and of single keys perhaps something newer. It is pure. What it
// has already is passed over, so the watch, answers to refused transactions and own commits may come in any order. Nothing is ever
// deleted (registry.Tx), which is why what was written since a revision is all that changed since.
type mirror struct {
	rev     int64            // 0: nothing has been read
	revs    map[string]int64 // by key
	records registry.Map     // by the registry's keys
	marks   map[string]string
}

func newMirror() *mirror {
	return &mirror{revs: map[string]int64{}, marks: map[string]string{}}
}

// put takes one key over, unless the mirror has the same or a newer one. The value belongs to the mirror from now on.
func (m *mirror) put(e entry) {
	if e.rev <= m.revs[e.key] {
		return
	}
	m.revs[e.key] = e.rev
	if name, ok := strings.CutPrefix(e.key, recordsKey); ok {
		m.records.Put(name, e.value)
	} else if name, ok := strings.CutPrefix(e.key, marksKey); ok {
		m.marks[name] = string(e.value)
	}
}

// catchUp takes over what was written up to rev, beginning at a revision that the mirror has or the one behind it. count is how many
// keys there are at rev. It reports false if there were more: somebody deleted keys, or put an older etcd into the place of this one.
func (m *mirror) catchUp(entries []entry, count int, rev int64) bool {
	behind := rev > m.rev
	for _, e := range entries {
		m.put(e)
	}
	m.rev = max(m.rev, rev)
	return !behind || len(m.revs) <= count || m.countUpTo(rev) <= count
}

// countUpTo returns how many keys were surely there at rev: an own commit may have brought younger ones.
func (m *mirror) countUpTo(rev int64) int {
	n := 0
	for _, r := range m.revs {
		if r <= rev {
			n++
		}
	}
	return n
}

// follow takes over the events of a watch, which are complete up to rev.
func (m *mirror) follow(entries []entry, rev int64) {
	for _, e := range entries {
		m.put(e)
	}
	m.rev = max(m.rev, rev)
}

// commit takes over what an own transaction wrote at rev; others may have written other keys between m.rev and rev.
func (m *mirror) commit(entries []entry, rev int64) {
	for _, e := range entries {
		e.rev = rev
		m.put(e)
	}
}

// Get, Look and Range make the mirror a registry.Reader. It must not change meanwhile.
func (m *mirror) Get(key string) ([]byte, bool)                 { return m.records.Get(key) }
func (m *mirror) Range(prefix string) iter.Seq2[string, []byte] { return m.records.Range(prefix) }
