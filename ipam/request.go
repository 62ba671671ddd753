package ipam

import (
	"errors"
	"fmt"
	"net/netip"
)

// Request is what an attachment asks for.
type Request struct {
	Attachment Attachment
	Holder     Holder
	IPv4       V4Request
	MAC        MAC // this one; the zero MAC: one that follows from the names. It must be unicast
}

// V4Request says which IPv4 address an attachment wants. The zero V4Request is any one.
type V4Request struct {
	None bool       // IPv6 only; an attachment that holds an IPv4 address keeps it
	Addr netip.Addr // this one, from any pool; zero: any
	Not  netip.Addr // rather another than this one, even if the attachment had it before. One that holds it keeps it
}

func (v V4Request) check() error {
	switch {
	case v.None && v.Addr.IsValid():
		return errors.New("an IPv4 address is asked for and none as well")
	case v.Addr.IsValid() && !v.Addr.Is4():
		return fmt.Errorf("%v is not an IPv4 address", v.Addr)
	case v.Not.IsValid() && v.Not == v.Addr:
		return fmt.Errorf("%v is asked for, and any other as well", v.Addr)
	}
	return nil
}
