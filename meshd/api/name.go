package api

import (
	"errors"
	"fmt"
)

// CheckContainer says whether id may name a container: 1 to MaxContainer printable ASCII characters without space or
// '/', the first of them a letter, a digit or '_'. That takes in the CNI specification's container IDs
// (SPEC.md, "Parameters") and LXC's names, and keeps out what means something in a path or to a terminal.
func CheckContainer(id string) error {
	switch {
	case id == "":
		return errors.New("the container ID is empty")
	case len(id) > MaxContainer:
		return fmt.Errorf("the container ID has %d bytes; at most %d are allowed", len(id), MaxContainer)
	case !alphanumeric(id[0]) && id[0] != '_':
		return fmt.Errorf("container ID %.80q does not begin with a letter, a digit or '_'", id)
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '/' {
			return fmt.Errorf("container ID %.80q has the character %q", id, c)
		}
	}
	return nil
}

// CheckAlias says whether a container can have that name beside its own: 1 to 63 letters, digits, '-' and '_', which is not
// first nor last if it is '-' (RFC 1123 §2.1 and, for '_', what runtimes allow).
func CheckAlias(name string) error {
	if name == "" || len(name) > maxAlias {
		return fmt.Errorf("alias %.80q has %d bytes; 1 to %d are allowed", name, len(name), maxAlias)
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '_' && (c != '-' || i == 0 || i == len(name)-1) {
			return fmt.Errorf("alias %.80q has the character %q where none such can be", name, c)
		}
	}
	return nil
}

// checkPrintable says whether s, called what, is free of control characters.
func checkPrintable(what, s string) error {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return fmt.Errorf("%s has the control character %q", what, s[i])
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
