package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sockaddr holds a struct sockaddr_in or sockaddr_in6 (include/uapi/linux/in.h, in6.h): family in native byte order
// at 0, port in network order at 2; then the IPv4 address at 4, or flow information at 4, the IPv6 address at 8 and the
// scope ID in native order at 24.
type sockaddr [sockaddrLen]byte

const (
	sockaddrLen  = unix.SizeofSockaddrInet6 // bytes
	sockaddr4Len = unix.SizeofSockaddrInet4
)

// put writes addr and returns its length in bytes. It reports false if addr's zone is not an interface of this host.
func (s *sockaddr) put(addr netip.AddrPort, zones *zoneIndexes) (int, bool) {
	clear(s[:])
	binary.BigEndian.PutUint16(s[2:], addr.Port())
	ip := addr.Addr().Unmap()
	if ip.Is4() {
		binary.NativeEndian.PutUint16(s[0:], unix.AF_INET)
		b := ip.As4()
		copy(s[4:], b[:])
		return sockaddr4Len, true
	}
	binary.NativeEndian.PutUint16(s[0:], unix.AF_INET6)
	b := ip.As16()
	copy(s[8:], b[:])
	if zone := ip.Zone(); zone != "" {
		index, ok := zones.index(zone)
		if !ok {
			return 0, false
		}
		binary.NativeEndian.PutUint32(s[24:], index)
	}
	return sockaddrLen, true
}

// bind binds socket fd to the address, which is n bytes long.
func (s *sockaddr) bind(fd, n int) error {
	if _, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(s)), uintptr(n)); errno != 0 {
		return errno
	}
	return nil
}

// addrPort reads the address. An interface's index becomes the zone as a number (fe80::1%2): a name would cost a
// look-up and can change.
func (s *sockaddr) addrPort(zones *zoneNames) netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	if binary.NativeEndian.Uint16(s[0:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(s[8:24])).Unmap()
	if scope := binary.NativeEndian.Uint32(s[24:]); scope != 0 {
		ip = zones.with(ip, scope)
	}
	return netip.AddrPortFrom(ip, port)
}

// maxZones bounds the caches below; a host with more interfaces that carry link-local peers pays an allocation for each
// datagram of the others.
const maxZones = 1024

// zoneNames turns scope IDs into zones. The zero value is ready; it is not safe for concurrent use.
type zoneNames struct {
	known map[uint32]netip.Addr // an address with that zone: keeps package netip's interned copy alive
}

func (z *zoneNames) with(ip netip.Addr, scope uint32) netip.Addr {
	if like, ok := z.known[scope]; ok {
		return ip.WithZone(like.Zone())
	}
	ip = ip.WithZone(strconv.FormatUint(uint64(scope), 10))
	if z.known == nil {
		z.known = make(map[uint32]netip.Addr)
	}
	if len(z.known) < maxZones {
		z.known[scope] = ip
	}
	return ip
}

// zoneIndexes turns zones into scope IDs: numbers stand for themselves, names are looked up among the interfaces. The
// zero value is ready; it is not safe for concurrent use.
type zoneIndexes struct {
	known map[string]uint32 // by interface name
}

func (z *zoneIndexes) index(zone string) (uint32, bool) {
	if n, ok := parseIndex(zone); ok {
		return n, true
	}
	if n, ok := z.known[zone]; ok {
		return n, true
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, false
	}
	if z.known == nil {
		z.known = make(map[string]uint32)
	}
	if len(z.known) < maxZones {
		z.known[zone] = uint32(ifi.Index)
	}
	return uint32(ifi.Index), true
}

// forget has names looked up anew.
func (z *zoneIndexes) forget() { clear(z.known) }

// parseIndex parses a decimal interface index. strconv would allocate an error for each name.
func parseIndex(s string) (index uint32, ok bool) {
	if len(s) > 9 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		index = index*10 + uint32(c-'0')
	}
	return index, s != ""
}
