package registry

import (
	"errors"
	"strings"
	"testing"
)

// Every refusal is an error of one line that wraps a sentinel of its own.
func TestErr(t *testing.T) {
	if err := (Result{}).Err(); err != nil {
		t.Errorf("Err of ok = %v", err)
	}
	for code := Invalid; code < codeEnd; code++ {
		err := Result{Code: code, Comment: "100% of it", Addr: addr("10.77.0.9"), Until: start}.Err()
		if !errors.Is(err, sentinels[code]) || sentinels[code] == nil {
			t.Errorf("Err of %v = %v, want it to wrap %v", code, err, sentinels[code])
			continue
		}
		if s := err.Error(); strings.ContainsAny(s, "\n\x00") || strings.Contains(s, "%!") || strings.HasSuffix(s, ".") {
			t.Errorf("Err of %v = %q, want one sentence", code, s)
		}
		if code.String() == "" {
			t.Errorf("code %d has no name", code)
		}
	}
	if err := (Result{Code: codeEnd}).Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Err of an unknown code = %v, want ErrInvalid", err)
	}
	for op := OpInit; op < opEnd; op++ {
		if op.String() == "" {
			t.Errorf("operation %d has no name", op)
		}
	}
}

// "Exhausted pool (error names pool, use and way out)", also with many users.
func TestExhaustedNamesUsers(t *testing.T) {
	r := Result{Code: Exhausted, Pool: block("10.77.0.0/24")}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		r.Usage = append(r.Usage, NodeUse{Node: node(name), Name: "host-" + name, Blocks: 2})
	}
	want := "no free block is left in pool 10.77.0.0/24 (blocks of host-a 2, host-b 2, host-c 2, host-d 2, host-e 2, and 2 or more others): " +
		"remove nodes that are gone (meshctl node remove), or detach what is not needed"
	if got := r.Err().Error(); got != want {
		t.Errorf("Err = %q, want %q", got, want)
	}
}

func TestIDs(t *testing.T) {
	id := node("abc")
	var back NodeID
	if err := back.UnmarshalText([]byte(id.String())); err != nil || back != id {
		t.Errorf("UnmarshalText(%v) = %v, %v", id, back, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("z", 64), strings.Repeat("0", 65)} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("UnmarshalText(%q) error = nil", bad)
		}
	}
}
