package api

import (
	"fmt"
	"net"
)

// MAC is an Ethernet address. Its text is six pairs of hexadecimal digits with colons.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	if err != nil || len(hw) != len(m) {
		return fmt.Errorf("%q is not an Ethernet address", text)
	}
	copy(m[:], hw)
	return nil
}
