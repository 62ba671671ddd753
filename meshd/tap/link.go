package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Exists reports whether there is a network device of that name, of whatever kind; false as well if it cannot be told.
func Exists(name string) bool {
	link, _ := lookLink(name)
	return link != nil
}

// lookLink returns the device, or nil if there is none.
func lookLink(name string) (netlink.Link, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for it: %w", err)
	}
	return link, nil
}

// checkName refuses what the kernel refuses (dev_valid_name, net/core/dev.c), and '%', which it would replace.
func checkName(name string) error {
	switch {
	case name == "" || len(name) >= unix.IFNAMSIZ:
		return fmt.Errorf("a device name has 1 to %d bytes, %q has %d", unix.IFNAMSIZ-1, name, len(name))
	case name == "." || name == ".." || strings.ContainsAny(name, "/:% \t\n\v\f\r\x00"):
		return fmt.Errorf("%q is no device name", name)
	}
	return nil
}

// kind says what a device is, for an error.
func kind(link netlink.Link) string {
	if t := link.Type(); t != "" && t != "device" {
		return t
	}
	return link.Attrs().EncapType
}

// disableIPv6 keeps the host from having addresses on the device. A kernel without IPv6 has no such setting.
func disableIPv6(name string) error {
	path := filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
	if err := os.WriteFile(path, []byte("1\n"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("switching IPv6 off on %s: %w", name, err)
	}
	return nil
}

func setUp(link netlink.Link) error {
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting it up: %w", needsAdmin(err))
	}
	return nil
}

func deleteLink(name string) error {
	link, err := lookLink(name)
	if link == nil {
		return err
	}
	return needsAdmin(netlink.LinkDel(link))
}

func needsAdmin(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: it needs CAP_NET_ADMIN; run as root", err)
	}
	return err
}
