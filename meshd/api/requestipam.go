package api

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"meshnet/meshd/token"
)

// NoIPv4 is what AttachOptions.IPv4 says to have no IPv4 address.
const NoIPv4 = "none"

// MaxComment is the length of the longest comment of a reservation, in bytes.
const MaxComment = 200

// ReserveRequest asks that nobody leases some addresses of a pool. Those that are leased stay with their containers.
type ReserveRequest struct {
	Network   string `json:"-"`
	Addresses Range  `json:"addresses"`
	Comment   string `json:"comment,omitempty"` // for people; printable
}

// ReleaseRequest asks to give a reservation back.
type ReleaseRequest struct {
	Network   string
	Addresses Range // exactly those of the reservation
}

// RemoveNodeRequest asks to take from a host what it has of a network's pools, because it is gone for good.
type RemoveNodeRequest struct {
	Network string
	Node    string // name or identity
	Force   bool   // although the host is up: its containers lose their IPv4 addresses
}

// checkIPv4 checks what a new network shall be as to IPv4.
func (r *CreateRequest) checkIPv4() error {
	if err := token.CheckDeadAfter(r.DeadAfter); err != nil {
		return fmt.Errorf("dead_after: %w", err)
	}
	if err := token.CheckPools(r.Pools); err != nil {
		return err
	}
	if r.IPv4None && (len(r.Pools) > 0 || r.IPAM != "" || r.DeadAfter != 0) {
		return errors.New("a network without IPv4 has neither pools nor ipam")
	}
	return checkIPAM(r.IPAM)
}

// checkIPAM says whether text can say which block registry a network has, to a meshd that runs elsewhere than the caller.
func checkIPAM(text string) error {
	m, err := token.ParseIPAM(text)
	if err != nil {
		return fmt.Errorf("ipam: %w", err)
	}
	for _, path := range []string{m.CA, m.Cert, m.Key} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("ipam: %.80q is not an absolute path", path)
		}
	}
	return nil
}

// checkIPv4 checks which IPv4 address a container asks for.
func (o *AttachOptions) checkIPv4() error {
	if o.IPv4 == "" || o.IPv4 == NoIPv4 {
		return nil
	}
	if a, err := netip.ParseAddr(o.IPv4); err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("ipv4 %.40q is neither an IPv4 address nor %q", o.IPv4, NoIPv4)
	}
	return nil
}

// V4 returns what o says of IPv4, after it has been checked: that no address is wanted, or which one; without either, any.
func (o AttachOptions) V4() (none bool, want netip.Addr) {
	want, err := netip.ParseAddr(o.IPv4)
	if err != nil {
		return o.IPv4 == NoIPv4, netip.Addr{}
	}
	return false, want
}

func (r *ReserveRequest) check() error {
	if !r.Addresses.IsValid() {
		return errors.New("the addresses to reserve are missing")
	}
	if len(r.Comment) > MaxComment {
		return fmt.Errorf("the comment has %d bytes; at most %d are allowed", len(r.Comment), MaxComment)
	}
	return checkPrintable("comment", r.Comment)
}

func (r *ReleaseRequest) check() error {
	if !r.Addresses.IsValid() {
		return errors.New("the addresses to release are missing")
	}
	return nil
}

func (r *RemoveNodeRequest) check() error { return token.CheckNodeName(r.Node) }
