package token

import (
	"errors"
	"fmt"
)

// MaxName is the length of the longest name of a network, in bytes.
const MaxName = 32

// CheckName says whether name may name a network: 1 to 32 of a-z, 0-9 and '-', a letter or digit at both ends. Such
// a name is at once a DNS label, a file name and a word that needs no quoting. The error says what is wrong with it.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name of a network is empty")
	case len(name) > MaxName:
		return fmt.Errorf("network name %.40q… has %d characters; at most %d are allowed", name, len(name), MaxName)
	case name[0] == '-' || name[len(name)-1] == '-':
		return fmt.Errorf("network name %q begins or ends with '-'", name)
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		case c >= 'A' && c <= 'Z':
			return fmt.Errorf("network name %q has the capital letter %q; only a-z, 0-9 and '-' are allowed", name, c)
		default:
			return fmt.Errorf("network name %q has the character %q; only a-z, 0-9 and '-' are allowed", name, c)
		}
	}
	return nil
}

// Lengths of other names, in bytes.
const (
	MaxNodeName = 64 // of a host
	MaxIfName   = 15 // of a network interface: IFNAMSIZ - 1, include/uapi/linux/if.h
)

// CheckNodeName says whether name may name a host: 1 to MaxNodeName of letters, digits, '.', '-' and '_', a letter or
// digit first, as host names are.
func CheckNodeName(name string) error {
	if name == "" || len(name) > MaxNodeName {
		return fmt.Errorf("node name %.80q has %d bytes; 1 to %d are allowed", name, len(name), MaxNodeName)
	}
	for i := range len(name) {
		c := name[i]
		if !alphanumeric(c) && (i == 0 || c != '.' && c != '-' && c != '_') {
			return fmt.Errorf("node name %q has the character %q", name, c)
		}
	}
	return nil
}

// CheckIfName says whether name may name a network interface: the kernel's rules (dev_valid_name, net/core/dev.c), and
// printable ASCII only, no pattern (b%d), and nothing that stands for all interfaces.
func CheckIfName(name string) error {
	switch {
	case name == "":
		return errors.New("the interface name is empty")
	case len(name) > MaxIfName:
		return fmt.Errorf("interface name %.80q has %d characters; the kernel allows %d", name, len(name), MaxIfName)
	case name == "." || name == "..":
		return fmt.Errorf("%q is not an interface name", name)
	case name == "all" || name == "default":
		return fmt.Errorf("the kernel keeps the interface name %q for itself; choose another", name)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '/' || c == ':' || c == '%' {
			return fmt.Errorf("interface name %q has the character %q", name, c)
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
