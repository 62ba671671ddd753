package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"meshnet/meshctl/doctor"
)

// hostFacts looks at this host.
func hostFacts() doctor.Facts {
	var f doctor.Facts
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		f.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if info, err := os.Stat("/dev/net/tun"); err != nil {
		f.TUN = err
	} else if info.Mode()&os.ModeCharDevice == 0 {
		f.TUN = errors.New("/dev/net/tun is not a device")
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil {
		synced := t.Status&unix.STA_UNSYNC == 0
		f.Synced = &synced
	}
	f.Addrs = interfaceAddrs()
	f.Drops, f.NoDrops = droppingChains()
	return f
}

func interfaceAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(p.IP); ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs
}

// droppingChains names the chains of nftables, which iptables has too, that see what comes in for this host and drop by default.
func droppingChains() ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("that needs root")
	}
	chains, err := new(nftables.Conn).ListChains()
	if err != nil {
		return nil, fmt.Errorf("listing the chains of nftables: %w", err)
	}
	var drops []string
	for _, ch := range chains {
		if ch.Type == nftables.ChainTypeFilter && ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookInput && ch.Policy != nil &&
			*ch.Policy == nftables.ChainPolicyDrop {
			drops = append(drops, "chain "+ch.Name+" of table "+ch.Table.Name)
		}
	}
	return drops, nil
}
