package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// unknownKey is the error for a key that the file should not have: it says where the key is, and which one was
// probably meant.
func unknownKey(text string, key toml.Key) error {
	known := keysOf(reflect.TypeFor[rawConfig]())
	if len(key) > 1 && key[0] == "network" {
		known = keysOf(reflect.TypeFor[rawNetwork]())
	}
	name := key[len(key)-1]
	where := ""
	if n := lineOf(text, key); n > 0 {
		where = fmt.Sprintf("line %d: ", n)
	}
	hint := "known are " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("%sunknown key %q; %s", where, key.String(), hint)
}

// keysOf returns the TOML keys of a struct.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("toml")
	}
	return keys
}

// lineOf returns the number of the line that sets key or opens the table of that name, or 0. It reads lines, not TOML:
// good enough to point at one.
func lineOf(text string, key toml.Key) int {
	table, n := "", 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(strings.TrimSpace(strings.SplitN(line, "]", 2)[0]), "[ ")
			if table == key.String() {
				return n
			}
			continue
		}
		name, _, found := strings.Cut(line, "=")
		name = strings.Trim(strings.TrimSpace(name), `"'`)
		if table != "" {
			name = table + "." + name
		}
		if found && name == key.String() {
			return n
		}
	}
	return 0
}

// nearest returns the word of known that takes the fewest edits to become word, or "" if all take too many.
func nearest(word string, known []string) string {
	best, limit := "", 1+len(word)/3
	for _, k := range known {
		if d := distance(strings.ToLower(word), k); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// distance is the number of characters to insert, delete or replace to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
