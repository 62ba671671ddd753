package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// condition is what the underlay and the containers are like during a measurement, and what is measured then.
type condition struct {
	Name        string
	Text        string        // for people
	MTU         int           // of the containers, bytes
	UnderlayMTU int           // of the cable, bytes
	Loss        float64       // percent of the datagrams, each direction
	Delay       time.Duration // one way
	Metrics     []metric
}

// metric is one number that is measured.
type metric struct {
	Name    string // its column
	kind    string // tcp, udp or ping
	streams int    // of TCP
	reverse bool   // from b to a
	size    int    // bytes of payload of a UDP datagram
}

var (
	tcp1    = metric{Name: "TCP ×1 a→b", kind: "tcp", streams: 1}
	tcp1r   = metric{Name: "TCP ×1 b→a", kind: "tcp", streams: 1, reverse: true}
	tcp4    = metric{Name: "TCP ×4 a→b", kind: "tcp", streams: 4}
	tcp4r   = metric{Name: "TCP ×4 b→a", kind: "tcp", streams: 4, reverse: true}
	udp64   = metric{Name: "UDP 64 B", kind: "udp", size: 64}
	udp1400 = metric{Name: "UDP 1400 B", kind: "udp", size: 1400 - 28} // packets of 1400 B: they fit every MTU here
	pings   = metric{Name: "ping", kind: "ping"}

	everything = []metric{tcp1, tcp1r, tcp4, tcp4r, udp64, udp1400, pings}
	impaired   = []metric{tcp1, tcp4, pings}
)

// conditions are all that a full run goes through.
var conditions = []condition{
	{Name: "mtu1400", Text: "containers' MTU 1400 on an underlay of 1500, where no peer has to fragment", MTU: 1400, UnderlayMTU: 1500, Metrics: everything},
	{Name: "mtu1500", Text: "containers' MTU 1500, the default of every container runtime, on an underlay of 1500; tunnels of layer 3 have what fits it", MTU: 1500, UnderlayMTU: 1500, Metrics: everything},
	{Name: "mtu8900", Text: "containers' MTU 8900 on an underlay of 9000", MTU: 8900, UnderlayMTU: 9000, Metrics: everything},
	{Name: "loss0.1", Text: "0.1 % of the datagrams are lost, each way; MTU 1400 on 1500", MTU: 1400, UnderlayMTU: 1500, Loss: 0.1, Metrics: impaired},
	{Name: "loss1", Text: "1 % of the datagrams are lost, each way; MTU 1400 on 1500", MTU: 1400, UnderlayMTU: 1500, Loss: 1, Metrics: impaired},
	{Name: "delay20", Text: "20 ms of delay, each way, and TCP has to find its pace from nothing; MTU 1400 on 1500", MTU: 1400, UnderlayMTU: 1500, Delay: 20 * time.Millisecond, Metrics: impaired},
}

// chooseConditions returns those that a comma-separated list names, in the list's order.
func chooseConditions(list string) ([]condition, error) {
	var chosen []condition
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(conditions, func(c condition) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no condition %q: known are %s", name, conditionNames(conditions))
		}
		chosen = append(chosen, conditions[i])
	}
	return chosen, nil
}

func conditionNames(cs []condition) string {
	var names []string
	for _, c := range cs {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}
