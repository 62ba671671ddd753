package main

import "strconv"

// n2nPeer is Debian's n2n. Its edge sends only to hardware addresses of other edges, so containers are routed.
func n2nPeer(w *workshop) peer {
	p := peer{Name: "n2n", Layer: 2, Text: "Twofish; containers routed through its TAP"}
	edge, err := w.debian("edge", "n2n")
	p.Version, p.Err = packageVersion("n2n"), err
	p.connect = func(s *site) { connectN2N(s, edge) }
	return p
}

func connectN2N(s *site, edge string) {
	s.daemon(0, "supernode", "-l", "7654")
	for i := range s.hosts {
		s.awaitLink(i, s.daemon(i, append([]string{edge}, n2nArgs(i, s.cond.MTU)...)...), "n2n0")
	}
	s.routed("n2n0", s.cond.MTU, tunnel)
}

// n2nArgs returns the command line of a host's edge.
func n2nArgs(host, mtu int) []string {
	return []string{"-d", "n2n0", "-a", tunnel[host].String(), "-s", "255.255.255.0", "-c", "bench", "-k", "benchmark",
		"-l", underlay[0].String() + ":7654", "-p", "7655", "-M", strconv.Itoa(mtu), "-r"}
}
