package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

const (
	// MaxName is the length of the longest node name, in bytes.
	MaxName = 64
	// maxEndpoints is how many endpoints of a node are told to others.
	maxEndpoints = 8

	metaVersion   = 1
	flagCreated   = 1 << 0
	flagRelays    = 1 << 1
	metaHeaderLen = 1 + 1 + 8 + 1
	endpointLen   = 16 + 2
	maxMeta       = metaHeaderLen + MaxName + 1 + maxEndpoints*endpointLen // within memberlist.MetaMaxSize, 512
)

var (
	errMetaShort   = errors.New("control: member data too short")
	errMetaInvalid = errors.New("control: invalid member data")
)

// meta is what a member says about itself, as memberlist's node metadata.
type meta struct {
	instance  uint64
	created   bool
	relays    bool
	name      string
	endpoints []netip.AddrPort // at most maxEndpoints, addresses unmapped
}

// append appends the encoding (docs/protocol.md, "Membership and gossip"): version (1), flags (1), instance (8), name
// length (1), name, number of endpoints (1), of each endpoint the address (16, IPv4 mapped) and the port (2). Only the
// first 8 endpoints are taken.
func (m meta) append(dst []byte) []byte {
	var flags byte
	if m.created {
		flags |= flagCreated
	}
	if m.relays {
		flags |= flagRelays
	}
	dst = binary.BigEndian.AppendUint64(append(dst, metaVersion, flags), m.instance)
	dst = append(append(dst, byte(len(m.name))), m.name...)
	endpoints := m.endpoints[:min(len(m.endpoints), maxEndpoints)]
	dst = append(dst, byte(len(endpoints)))
	for _, e := range endpoints {
		addr := e.Addr().As16()
		dst = binary.BigEndian.AppendUint16(append(dst, addr[:]...), e.Port())
	}
	return dst
}

// parseMeta undoes append. Longer input and unknown flags are left to later versions. The error wraps errMetaShort or
// errMetaInvalid.
func parseMeta(b []byte) (meta, error) {
	if len(b) < metaHeaderLen {
		return meta{}, errMetaShort
	}
	// Version (1).
	if b[0] != metaVersion {
		return meta{}, fmt.Errorf("%w: version %d", errMetaInvalid, b[0])
	}
	// Flags (1), instance (8).
	m := meta{created: b[1]&flagCreated != 0, relays: b[1]&flagRelays != 0, instance: binary.BigEndian.Uint64(b[2:])}
	// Name.
	n := int(b[10])
	b = b[metaHeaderLen:]
	if len(b) < n+1 {
		return meta{}, errMetaShort
	}
	m.name = string(b[:n])
	if err := checkName(m.name); err != nil {
		return meta{}, err
	}
	// Endpoints.
	count := int(b[n])
	b = b[n+1:]
	if count > maxEndpoints {
		return meta{}, fmt.Errorf("%w: %d endpoints", errMetaInvalid, count)
	}
	if len(b) < count*endpointLen {
		return meta{}, errMetaShort
	}
	for ; count > 0; count-- {
		addr := netip.AddrFrom16([16]byte(b[:16])).Unmap()
		m.endpoints = append(m.endpoints, netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[16:])))
		b = b[endpointLen:]
	}
	return m, nil
}

// checkName allows 1 to MaxName printable ASCII characters without space: names reach terminals and scripts.
func checkName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w: a name of %d bytes, 1 to %d are allowed", errMetaInvalid, len(name), MaxName)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("%w: name %q", errMetaInvalid, name)
		}
	}
	return nil
}
