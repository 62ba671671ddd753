package registry

import (
	"bytes"
	"errors"
	"testing"
)

func snapshotWorld(t testing.TB) *world {
	w := newWorld(t, pool("10.77.0.0/24"))
	w.admit("a", "b")
	w.own("a")
	w.own("b")
	w.ok(Command{Op: OpReserve, Range: Reservation{addr("10.77.0.10"), addr("10.77.0.20"), "printers"}})
	return w
}

func TestSnapshotRestores(t *testing.T) {
	w := snapshotWorld(t)
	b := w.records.Snapshot(nil)
	m, err := Restore(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Snapshot(nil), b) || m.Len() != w.records.Len() {
		t.Error("a restored map gives another snapshot")
	}
	clear(b) // "It keeps nothing of b"
	if _, err := Load(m); err != nil {
		t.Errorf("Load of a restored map: %v", err)
	}
	empty, err := Restore((&Map{}).Snapshot(nil))
	if err != nil || empty.Len() != 0 {
		t.Errorf("empty map: %v, %v", empty, err)
	}
}

// Damage is found: any byte that is changed or missing.
func TestSnapshotDamage(t *testing.T) {
	whole := snapshotWorld(t).records.Snapshot(nil)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x20
		if _, err := Restore(b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: error = %v, want ErrCorrupt", i, err)
		}
		if _, err := Restore(whole[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at byte %d: error = %v, want ErrCorrupt", i, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(snapshotWorld(f).records.Snapshot(nil))
	f.Add((&Map{}).Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Restore(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Snapshot(nil), b) {
			t.Error("a restored map gives another snapshot")
		}
		if s, err := Load(m); err == nil {
			Check(s)
			Use(s)
		}
		Apply(m, Command{Op: OpExpireNodes, Time: start})
	})
}

// A record that cannot be read stops the command that meets it, with its name, and nothing is written.
func TestCorruptRecord(t *testing.T) {
	for _, key := range []string{registryKey, clockKey, nodeKey(node("a"))} {
		w := snapshotWorld(t)
		value, ok := w.records.Get(key)
		if !ok {
			t.Fatalf("no record %s", key)
		}
		w.records.Put(key, value[:len(value)-1])
		before := w.records.Snapshot(nil)
		r := Apply(w.records, as("a", Command{Op: OpClaim, Time: w.now}))
		if err := r.Err(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("record %s cut short: error = %v, want ErrCorrupt", key, err)
		}
		if !bytes.Equal(before, w.records.Snapshot(nil)) {
			t.Errorf("record %s cut short: something was written", key)
		}
		if _, err := Load(w.records); !errors.Is(err, ErrCorrupt) {
			t.Errorf("record %s cut short: Load error = %v, want ErrCorrupt", key, err)
		}
	}
}
