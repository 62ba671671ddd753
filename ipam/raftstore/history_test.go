package raftstore

import "testing"

// "Two servers that had the same commands have the same; one command of another time, or elsewhere, and all that follow differ."
func TestHistory(t *testing.T) {
	var a, b history
	for i := range uint64(10) {
		a.add(3+2*i, []byte{byte(i)})
		b.add(3+2*i, []byte{byte(i)})
	}
	if a.at(21) != b.at(21) || a.at(21) != a.at(22) || a.at(21) == a.at(20) || a.at(2) != 0 {
		t.Errorf("sums = %d and %d, between commands %d, before %d", a.at(21), b.at(21), a.at(22), a.at(2))
	}
	a.add(30, []byte("theirs"))
	b.add(30, []byte("ours"))
	for i := range uint64(5) {
		a.add(31+i, []byte("the same"))
		b.add(31+i, []byte("the same"))
		if a.at(31+i) == b.at(31+i) {
			t.Errorf("sums after command %d are the same, although an earlier one differs", 31+i)
		}
	}
	if a.at(29) != b.at(29) {
		t.Error("sums before the difference differ")
	}
	restored, rest, ok := restoreHistory(a.append(nil))
	if !ok || len(rest) != 0 || restored.at(100) != a.at(100) || restored.at(34) != 0 {
		t.Errorf("restored: %v, sums %d and %d, want %d and 0", ok, restored.at(100), restored.at(34), a.at(100))
	}
	restored.add(50, nil)
	if a.add(50, nil); restored.at(50) != a.at(50) {
		t.Error("sums of a restored history go on otherwise")
	}
	for i := range uint64(5 * maxHistory) {
		a.add(100+i, nil)
	}
	if n := len(a.marks); n > 2*maxHistory {
		t.Errorf("marks = %d, want at most %d", n, 2*maxHistory)
	}
	if _, _, ok := restoreHistory(make([]byte, historyLen-1)); ok {
		t.Error("a short history was restored")
	}
}
