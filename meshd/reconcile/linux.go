package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshnet/ipam"
	"meshnet/plugins/attach"
)

// DefaultCNIResults is where libcni keeps the results of ADD until DEL has succeeded, one file for each attachment.
const DefaultCNIResults = "/var/lib/cni/results"

// Linux observes the host that is the calling thread's network namespace. It needs no rights beyond reading.
//
// Plugins name the host's end of an attachment's veth, or give it an alias, so that it can be recognized from outside
// (attach.HostName). The two ends of a veth live and die together: where one is seen, the interface exists. Where none
// is, whatever else can vouch for the container leaves a doubt: its network namespace, its init process.
type Linux struct {
	Bridge     string // of the network
	CNIResults string // directory; "": DefaultCNIResults
}

// Observe implements Observer. There being no bridge is an error: whoever removed it did not remove the containers.
func (l *Linux) Observe(ctx context.Context, leases []ipam.Lease) ([]Observation, error) {
	if len(leases) == 0 {
		return nil, nil
	}
	ends, err := hostEnds(l.Bridge)
	if err != nil {
		return nil, fmt.Errorf("looking for the interfaces of containers: %w", err)
	}
	results, err := readResults(l.CNIResults)
	if err != nil {
		return nil, fmt.Errorf("looking for the results of CNI plugins: %w", err)
	}
	observations := make([]Observation, 0, len(leases))
	for _, lease := range leases {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o := Observation{Lease: lease}
		name := attach.HostName(lease.Container, lease.IfName)
		if ends[name] {
			o.State, o.Why = Present, "the host's end "+name+" is there"
		} else {
			o.State, o.Why = vouch(lease, results)
		}
		observations = append(observations, o)
	}
	return observations, nil
}

// dumpTries bounds how often the devices are listed anew because one came or went meanwhile (NLM_F_DUMP_INTR).
const dumpTries = 5

// hostEnds returns the names and aliases of the veths that are ports of the bridge, or of none.
func hostEnds(bridge string) (map[string]bool, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	defer h.Close()
	var links []netlink.Link
	for range dumpTries {
		if links, err = h.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	return portsOf(bridge, links)
}

func portsOf(bridge string, links []netlink.Link) (map[string]bool, error) {
	index := 0
	for _, l := range links {
		if l.Attrs().Name == bridge && l.Type() == "bridge" {
			index = l.Attrs().Index
		}
	}
	if index == 0 {
		return nil, fmt.Errorf("there is no bridge %s", bridge)
	}
	ends := make(map[string]bool)
	for _, l := range links {
		a := l.Attrs()
		if l.Type() == "veth" && (a.MasterIndex == index || a.MasterIndex == 0) {
			ends[a.Name] = true
			if a.Alias != "" {
				ends[a.Alias] = true
			}
		}
	}
	return ends, nil
}

// HostEnd returns the name, or alias, of the host's end of an attachment's interface, if a plugin made it.
func HostEnd(a ipam.Attachment) string { return attach.HostName(a.Container, a.IfName) }
