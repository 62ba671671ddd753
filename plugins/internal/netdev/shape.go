package netdev

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Rate is a token bucket (tc-tbf(8)). The zero Rate limits nothing.
type Rate struct {
	Rate  uint64 // bits per second
	Burst uint64 // bits
}

// CheckRate says whether a container with this MTU, in bytes, can have that rate. A bucket that never has the tokens of one
// frame lets nothing through.
func CheckRate(r Rate, mtu int) error {
	const most = math.MaxInt32 * 8
	least := uint64(mtu+ethernetHeader) * 8
	switch {
	case r == Rate{}:
		return nil
	case r.Rate < 8 || r.Burst == 0:
		return errors.New("rate and burst must both be given, in bits per second and bits")
	case r.Burst < least:
		return fmt.Errorf("the burst of %d bits is less than one frame, %d bits", r.Burst, least)
	case r.Burst > most:
		return fmt.Errorf("the burst of %d bits is more than %d", r.Burst, uint64(most))
	}
	return nil
}

const (
	ethernetHeader = 14 // bytes (IEEE 802.3 §3.2)
	latency        = 25 * time.Millisecond
)

// shape limits the rate of the container: what it receives, where the host's end sends, and what it sends, on a device that
// the host's end redirects to, since a queue is only where something is sent.
func shape(h *netlink.Handle, outer netlink.Link, c Config) error {
	if c.Ingress != (Rate{}) {
		if err := addBucket(h, outer, c.Ingress); err != nil {
			return err
		}
	}
	if c.Egress == (Rate{}) {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = nameOf(ifbPrefix, c.HostName), c.MTU
	if err := h.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("making %s (module ifb), which limits what the container sends: %w", attrs.Name, err)
	}
	ifb, err := h.LinkByName(attrs.Name)
	if err == nil {
		err = disableIPv6(attrs.Name)
	}
	if err == nil {
		err = h.LinkSetUp(ifb)
	}
	if err != nil {
		return fmt.Errorf("setting %s up: %w", attrs.Name, err)
	}
	if err := addBucket(h, ifb, c.Egress); err != nil {
		return err
	}
	return redirect(h, outer, ifb)
}

// redirect has what comes in by from go out by to.
func redirect(h *netlink.Handle, from, to netlink.Link) error {
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: from.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := h.QdiscAdd(ingress); err != nil {
		return fmt.Errorf("adding the ingress queue of %s: %w", from.Attrs().Name, err)
	}
	all := &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: from.Attrs().Index, Parent: ingress.Handle, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		ClassId: netlink.MakeHandle(1, 1),
		Actions: []netlink.Action{&netlink.MirredAction{MirredAction: netlink.TCA_EGRESS_REDIR, Ifindex: to.Attrs().Index}},
	}
	if err := h.FilterAdd(all); err != nil {
		return fmt.Errorf("redirecting %s to %s: %w", from.Attrs().Name, to.Attrs().Name, err)
	}
	return nil
}

func addBucket(h *netlink.Handle, link netlink.Link, r Rate) error {
	rate, burst := r.Rate/8, r.Burst/8 // bytes
	ticks := float64(burst) / float64(rate) * float64(netlink.TIME_UNITS_PER_SEC) * netlink.TickInUsec()
	queue := float64(rate)*latency.Seconds() + float64(burst)
	bucket := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
		},
		Rate:   rate,
		Buffer: uint32(min(math.Ceil(ticks)+1, math.MaxUint32)),
		Limit:  uint32(min(queue, math.MaxUint32)),
	}
	if err := h.QdiscAdd(bucket); err != nil {
		return fmt.Errorf("limiting the rate of %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// checkShape says which limit of the rate is missing. One that nobody asked for is another plugin's.
func checkShape(h *netlink.Handle, outer netlink.Link, c Config) error {
	if c.Ingress != (Rate{}) {
		if err := checkBucket(h, outer, c.Ingress); err != nil {
			return err
		}
	}
	if c.Egress == (Rate{}) {
		return nil
	}
	ifb, err := h.LinkByName(nameOf(ifbPrefix, c.HostName))
	if err != nil {
		return fmt.Errorf("looking for what limits the rate of the container: %w", err)
	}
	return checkBucket(h, ifb, c.Egress)
}

func checkBucket(h *netlink.Handle, link netlink.Link, r Rate) error {
	list, err := h.QdiscList(link)
	if err != nil {
		return fmt.Errorf("listing the queues of %s: %w", link.Attrs().Name, err)
	}
	for _, q := range list {
		if bucket, ok := q.(*netlink.Tbf); ok && bucket.Rate == r.Rate/8 {
			return nil
		}
	}
	return fmt.Errorf("%s has no limit of %d bits per second", link.Attrs().Name, r.Rate)
}

func deleteIfb(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil && link.Type() != "ifb" {
		return fmt.Errorf("%s is no ifb but a device of type %s: not removing it", name, link.Type())
	}
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}
