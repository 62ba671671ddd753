package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// results is what a run has measured so far.
type results struct {
	conditions []condition
	peers      []peer
	samples    map[cell][]sample
	failures   map[cell]string // cell.metric is empty: of the condition
}

type cell struct{ condition, peer, metric string }

func newResults(cs []condition, ps []peer) *results {
	r := &results{conditions: cs, peers: ps, samples: make(map[cell][]sample), failures: make(map[cell]string)}
	for _, p := range ps {
		for _, c := range cs {
			if p.Err != nil {
				r.fail(c, p, p.Err)
			}
		}
	}
	return r
}

func (r *results) add(c condition, p peer, m metric, s sample) {
	k := cell{c.Name, p.Name, m.Name}
	r.samples[k] = append(r.samples[k], s)
}

// fail notes why a peer has no number, or not all, under a condition: the first line of the error, as what follows is
// logs. The first reason stays.
func (r *results) fail(c condition, p peer, err error) {
	k := cell{condition: c.Name, peer: p.Name}
	if _, ok := r.failures[k]; !ok {
		r.failures[k], _, _ = strings.Cut(err.Error(), "\n")
	}
}

// value returns the median of a column over the rounds; false if there is none.
func (r *results) value(c condition, p peer, col column) (float64, bool) {
	var vs []float64
	for _, s := range r.samples[cell{c.Name, p.Name, col.metric}] {
		if v, ok := col.of(s); ok {
			vs = append(vs, v)
		}
	}
	if len(vs) == 0 {
		return 0, false
	}
	return median(vs), true
}

// median returns the middle of vs, or the mean of the two in the middle. vs is not empty.
func median(vs []float64) float64 {
	s := slices.Sorted(slices.Values(vs))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// quantile returns the smallest of vs that a share q of them does not exceed (nearest rank). vs is not empty.
func quantile[T cmp.Ordered](vs []T, q float64) T {
	s := slices.Sorted(slices.Values(vs))
	rank := int(q * float64(len(s)))
	if float64(rank) < q*float64(len(s)) {
		rank++
	}
	return s[min(max(rank, 1), len(s))-1]
}

// column is a number in the tables.
type column struct {
	Title  string
	metric string
	format string
	of     func(sample) (float64, bool)
}

// columns returns those of a condition's table, in order.
func columns(c condition) []column {
	var cols []column
	for _, m := range c.Metrics {
		switch m.kind {
		case "tcp":
			cols = append(cols, column{m.Name + " Gbit/s", m.Name, "%.2f", func(s sample) (float64, bool) { return s.Gbps, true }})
		case "udp":
			cols = append(cols, column{m.Name + " kpkt/s", m.Name, "%.1f", func(s sample) (float64, bool) { return s.PPS / 1e3, true }})
		case "ping":
			cols = append(cols,
				column{"ping median ms", m.Name, "%.3f", func(s sample) (float64, bool) { return s.RTT.Seconds() * 1e3, true }},
				column{"ping p99 ms", m.Name, "%.3f", func(s sample) (float64, bool) { return s.RTTP99.Seconds() * 1e3, true }})
		}
	}
	cpu := column{"core-s/Gbit", tcp1.Name, "%.3f", func(s sample) (float64, bool) { return s.CPU, s.HasCPU }}
	return append(cols, cpu)
}

// reasons returns the failures, each with the conditions it came up under, in the order of peers and conditions.
func (r *results) reasons() []reason {
	var all []reason
	for _, p := range r.peers {
		seen := make(map[string]*reason)
		for _, c := range r.conditions {
			text, ok := r.failures[cell{condition: c.Name, peer: p.Name}]
			if !ok {
				continue
			}
			if seen[text] == nil {
				seen[text] = &reason{Peer: p.Name, Text: text}
			}
			seen[text].Conditions = append(seen[text].Conditions, c.Name)
		}
		of := slices.Collect(maps.Values(seen))
		slices.SortFunc(of, func(a, b *reason) int { return r.order(a.Conditions[0]) - r.order(b.Conditions[0]) })
		for _, x := range of {
			all = append(all, *x)
		}
	}
	return all
}

func (r *results) order(name string) int {
	return slices.IndexFunc(r.conditions, func(c condition) bool { return c.Name == name })
}

// reason is why a peer has no number.
type reason struct {
	Peer, Text string
	Conditions []string
}
