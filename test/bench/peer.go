package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// peer is one thing to measure.
type peer struct {
	Name    string
	Version string
	Layer   int    // 2 carries frames, 3 packets
	Text    string // cipher and what else of its configuration matters
	bin     string // directory with meshnet's programs; empty: those of the run
	Err     error  // why it cannot be measured, or nil
	connect func(s *site)
}

// workshop is where peers come from.
type workshop struct {
	bin   string // meshnet's programs
	cache string // what `go install` builds
	apt   bool   // packages that are missing may be installed
}

// makers are the peers by their names, in the order of the tables.
var makers = []struct {
	name string
	make func(w *workshop) peer
}{
	{"meshnet", func(w *workshop) peer { return meshnetPeer("meshnet", w.bin) }},
	{"veth", func(*workshop) peer { return vethPeer() }},
	{"vxlan", func(*workshop) peer { return vxlanPeer() }},
	{"wireguard-go", wireguardPeer},
	{"nebula", nebulaPeer},
	{"fastd", fastdPeer},
	{"tinc", tincPeer},
	{"n2n", n2nPeer},
	{"openvpn", openvpnPeer},
}

func peerNames() []string {
	var names []string
	for _, m := range makers {
		names = append(names, m.name)
	}
	return names
}

// gather makes the peers that a comma-separated list names. builds, of -meshnet, stand in for meshnet; extra, of
// MESHNET_BENCH_PEERS, come last. A peer that cannot be had is returned with the reason.
func gather(w *workshop, list string, builds, extra []binary) ([]peer, error) {
	var peers []peer
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(peerNames(), name)
		switch {
		case i < 0:
			return nil, fmt.Errorf("there is no peer %q: known are %s", name, strings.Join(peerNames(), ","))
		case name == "meshnet" && len(builds) > 0:
			for _, b := range builds {
				peers = append(peers, meshnetPeer("meshnet "+b.name, b.path))
			}
		default:
			peers = append(peers, makers[i].make(w))
		}
	}
	for _, b := range extra {
		p, err := extraPeer(w, b)
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// binary is a name and the path of what has it.
type binary struct{ name, path string }

// parseBinaries reads NAME=PATH,NAME=PATH; the paths have to be there.
func parseBinaries(list string) ([]binary, error) {
	var bs []binary
	for item := range strings.SplitSeq(list, ",") {
		if item == "" {
			continue
		}
		name, path, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not NAME=PATH", item)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		bs = append(bs, binary{name, path})
	}
	return bs, nil
}

// extraPeer makes the peer for a binary of MESHNET_BENCH_PEERS. Its kind is its name up to the first dash.
func extraPeer(w *workshop, b binary) (peer, error) {
	switch kind, _, _ := strings.Cut(b.name, "-"); kind {
	case "nebula":
		return nebulaBinary(w, b.name, b.path), nil
	case "peervpn":
		return peervpnPeer(b.name, b.path), nil
	default:
		return peer{}, fmt.Errorf("MESHNET_BENCH_PEERS: %s is of no known kind: the name has to begin with nebula or peervpn", b.name)
	}
}
