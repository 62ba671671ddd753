package ipam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

const (
	keyLabel        = "meshnet/1 address key"
	attachmentLabel = "meshnet/1 attachment"
)

const (
	gatewayIID = 1      // of the gateway's address
	maxOwnUse  = 0xffff // the identifiers behind the gateway's up to this one are given to who asks for them only
)

// Identifiers that no attachment is given unasked. Each range includes both its ends.
var reservedIIDs = [...]struct{ first, last uint64 }{
	{0x0000_0000_0000_0000, maxOwnUse},             // 0 subnet-router anycast (RFC 4291 §2.6.1), 1 the gateway, the rest for people's own use
	{0x0200_5eff_fe00_0000, 0x0200_5eff_feff_ffff}, // IANA's own Ethernet block (RFC 5453 and its registry)
	{0xfdff_ffff_ffff_ff80, 0xfdff_ffff_ffff_ffff}, // reserved subnet anycast addresses (RFC 2526 §2)
}

// AddressKey derives from the network's PSK the key that identifiers are hashed with, so that nobody outside the network can
// tell addresses from names (RFC 7217 §5, secret_key). It is a key of its own: an address must not say anything about the PSK.
func AddressKey(psk [32]byte) [32]byte {
	mac := hmac.New(sha256.New, psk[:])
	mac.Write(appendFields(nil, []byte(keyLabel)))
	return [32]byte(mac.Sum(nil))
}

// scope is what all identifiers of one node in one network have in common.
type scope struct {
	key     [32]byte // AddressKey
	network [16]byte
	node    [32]byte
	subnet  netip.Prefix // /64
}

// derive returns interface identifier and MAC of a: RFC 7217 §5 with F = HMAC-SHA-256, Net_Iface = (node, container, interface
// name), Network_ID = the network's, DAD_Counter = counter. The node is part of it because LXC names repeat: two hosts that
// both start a container "web" before they meet must not give both the same address. The identifier is all 64 bits, the
// universal and group bits included, as RFC 7136 §5 says they mean nothing. ok is false if one of the two is reserved.
func (s *scope) derive(a Attachment, counter uint32) (iid uint64, hw MAC, ok bool) {
	prefix := s.subnet.Addr().As16()
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(appendFields(nil, []byte(attachmentLabel), prefix[:8], s.network[:], s.node[:],
		[]byte(a.Container), []byte(a.IfName), binary.BigEndian.AppendUint32(nil, counter)))
	sum := mac.Sum(nil)
	iid = binary.BigEndian.Uint64(sum)
	hw = localMAC(sum[8:14])
	return iid, hw, !reserved(iid) && hw != GatewayMAC(s.network)
}

func reserved(iid uint64) bool {
	for _, r := range reservedIIDs {
		if r.first <= iid && iid <= r.last {
			return true
		}
	}
	return false
}

// join returns the address with identifier iid in subnet, a /64.
func join(subnet netip.Prefix, iid uint64) netip.Addr {
	addr := subnet.Addr().As16()
	binary.BigEndian.PutUint64(addr[8:], iid)
	return netip.AddrFrom16(addr)
}

// iidOf returns the low 64 bits of addr.
func iidOf(addr netip.Addr) uint64 {
	b := addr.As16()
	return binary.BigEndian.Uint64(b[8:])
}

// appendFields appends each field to dst behind its length in two bytes, big-endian, so that no two lists of fields have the
// same bytes: ("ab", "c") is not ("a", "bc"). Fields are at most 65,535 bytes long.
func appendFields(dst []byte, fields ...[]byte) []byte {
	for _, f := range fields {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f)))
		dst = append(dst, f...)
	}
	return dst
}
