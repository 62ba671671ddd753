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
