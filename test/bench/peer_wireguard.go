package main

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
)

// wireguardPeer is wireguard-go, the implementation in Go: the bar for a userspace VPN.
func wireguardPeer(w *workshop) peer {
	p := peer{Name: "wireguard-go", Layer: 3, Text: "ChaCha20-Poly1305"}
	dir, version, err := w.module("golang.zx2c4.com/wireguard", []string{""}, "latest")
	p.Version, p.Err = version, err
	p.connect = func(s *site) { connectWireguard(s, filepath.Join(dir, "wireguard")) }
	return p
}

// wireguardOverhead is what wg-quick leaves for WireGuard on an underlay, be it of IPv4 or IPv6: 1420 of 1500 remain.
const wireguardOverhead = 80

func connectWireguard(s *site, program string) {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		s.must(err)
		keys[i] = key
	}
	for i, h := range s.hosts {
		p := s.daemon(i, program, "-f", "wg0")
		s.awaitLink(i, p, "wg0")
		socket := h.Path("/run/wireguard/wg0.sock")
		h.Until("the configuration socket is there", func() bool {
			conn, err := net.Dial("unix", socket)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}, nil)
		conn, err := net.Dial("unix", socket)
		s.must(err)
		err = configureWireguard(conn, wireguardConfig(keys[i], keys[1-i].PublicKey(), netip.AddrPortFrom(underlay[1-i], 51820), subnet(1-i)))
		conn.Close()
		s.must(err)
	}
	s.routed("wg0", s.tunnelMTU(wireguardOverhead), [2]netip.Addr{})
}

// wireguardConfig returns the set operation of the cross-platform interface (wireguard.com/xplatform) for one peer.
func wireguardConfig(own *ecdh.PrivateKey, other *ecdh.PublicKey, endpoint netip.AddrPort, allowed netip.Prefix) string {
	return fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=51820\nreplace_peers=true\npublic_key=%s\nendpoint=%v\nallowed_ip=%v\n\n",
		hex.EncodeToString(own.Bytes()), hex.EncodeToString(other.Bytes()), endpoint, allowed)
}

// configureWireguard sends an operation and reads its answer.
func configureWireguard(conn io.ReadWriter, operation string) error {
	if _, err := io.WriteString(conn, operation); err != nil {
		return fmt.Errorf("configuring wireguard-go: %w", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("configuring wireguard-go: %w", err)
	}
	if answer := strings.TrimSpace(line); answer != "errno=0" {
		return fmt.Errorf("configuring wireguard-go: %s", answer)
	}
	return nil
}
