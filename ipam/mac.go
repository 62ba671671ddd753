package ipam

import (
	"crypto/sha256"
	"fmt"
	"net"
)

const gatewayLabel = "meshnet/1 gateway mac"

// MAC is an Ethernet address, in the order of transmission.
type MAC [6]byte

// String returns m as six hex bytes with colons, in lower case.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// check says whether a container can be given m; the zero MAC stands for any.
func (m MAC) check() error {
	if m[0]&1 != 0 {
		return fmt.Errorf("MAC address %v is not a unicast address", m)
	}
	return nil
}

// GatewayMAC returns the Ethernet address that every host's bridge carries for the gateway. It is the same on all hosts, so a
// container that moves keeps its router, and differs between networks, so two of them may meet on one bridge.
func GatewayMAC(networkID [16]byte) MAC {
	sum := sha256.Sum256(appendFields(nil, []byte(gatewayLabel), networkID[:]))
	return localMAC(sum[:6])
}

// localMAC makes of six bytes of a hash a locally administered unicast address (IEEE 802 §8.2): in the first byte, bit 1 is
// set and bit 0 is clear; 46 bits of the hash remain.
func localMAC(hash []byte) MAC {
	m := MAC(hash)
	m[0] = m[0]&^0b01 | 0b10
	return m
}
