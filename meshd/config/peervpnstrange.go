package config

import (
	"fmt"
	"strings"
)

// strangeLine is a line of a configuration file of PeerVPN with an option that PeerVPN does not have: a misspelled one, or
// a fork's.
type strangeLine struct {
	number        int
	option, value string
}

// notOptions returns the strange lines as comments.
func notOptions(lines []strangeLine) string {
	if len(lines) == 0 {
		return ""
	}
	var out strings.Builder
	w := &tomlWriter{&out}
	w.blank()
	w.note("Not options of PeerVPN, and left out:")
	for _, l := range lines {
		w.note("line %d: %s", l.number, strings.TrimSpace(l.option+" "+l.value))
	}
	return out.String()
}

// namesOf returns the options of the strange lines for a message.
func namesOf(lines []strangeLine) []string {
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = fmt.Sprintf("%.40q (line %d)", l.option, l.number)
	}
	return names
}
