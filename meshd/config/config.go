package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"meshnet/meshd/token"
)

// Where meshd keeps its state and listens if it is not told otherwise.
const (
	DefaultState  = "/var/lib/meshnet"
	DefaultSocket = "/run/meshnet/meshd.sock"
	DefaultListen = ":7000"
	DefaultGroup  = "meshnet"
)

// Offloads that can be left out, for whoever hunts a fault.
const (
	TAPChecksum = "tap-checksum" // and with it the other two of the TAP
	TAPTSO      = "tap-tso"
	TAPUSO      = "tap-uso"
	UDPGSO      = "udp-gso"
	UDPGRO      = "udp-gro"
	UDPLanes    = "udp-lanes"
)

// CheckWithout refuses names that are no offload's.
func CheckWithout(names []string) error {
	all := []string{TAPChecksum, TAPTSO, TAPUSO, UDPGSO, UDPGRO, UDPLanes}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%q is no offload; there are %s", name, strings.Join(all, ", "))
		}
	}
	return nil
}

// Config is what the configuration file says.
type Config struct {
	Name     string     // of this host, in every network
	Listen   []string   // UDP, "ADDR:PORT"; without ADDR all addresses of both families
	State    string     // directory
	Socket   string     // path of the API's Unix socket
	Group    string     // may use the socket; "": root alone
	FWMark   int        // SO_MARK of the UDP sockets, 32 bits; 0: none
	LogLevel slog.Level //
	Without  []string   // offloads that are not to be used
	Relay    bool       // pass on what members send each other that cannot reach each other
	Networks []Network  // to be a member of; others are left alone
}

// Network is a network that this host shall be a member of.
type Network struct {
	Name      string
	NetworkID [16]byte       //
	PSK       [32]byte       //
	MTU       int            // bytes; 0: token.DefaultMTU
	IPv6      netip.Prefix   // of the overlay; the zero Prefix: the ULA of the network ID
	Pools     []token.Pool   // of IPv4 addresses; none: token.DefaultPool, unless IPv4None
	IPv4None  bool           // the network has no IPv4
	IPAM      token.IPAM     // who hands out blocks of the pools, with what lets this host in
	DeadAfter token.Duration // how long a host may be silent before its blocks go to others; 0: the default; for the one who creates
	Force     bool           // although this host has addresses or routes in a pool
	Create    bool           // make the network if this host is not in it, instead of joining it
	Seeds     []string       // endpoints of members
	Advertise []string       // endpoints of this host, beside its interfaces'
	Bridge    string         // containers are put into it; "": one that meshd makes
	DHCP      string         // whom it is answered, as token.CheckDHCP has it
	Egress    string         // how containers get out, as token.CheckEgress has it
}

// Default returns the configuration of a host without a file. Its name is the system's.
func Default() Config {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return Config{
		Name:   nodeName(name),
		Listen: []string{DefaultListen},
		State:  DefaultState,
		Socket: DefaultSocket,
		Group:  DefaultGroup,
		Relay:  true,
	}
}

// nodeName makes a host's name fit for a node: what may not be in one becomes '-'.
func nodeName(hostname string) string {
	name := strings.Map(func(c rune) rune {
		if token.CheckNodeName("a"+string(c)) != nil {
			return '-'
		}
		return c
	}, hostname)
	name = strings.TrimLeft(name, "-._")
	if len(name) > token.MaxNodeName {
		name = name[:token.MaxNodeName]
	}
	if name == "" {
		return "node"
	}
	return name
}

// Load reads the configuration file at path. What the file does not say is as in base. Relative paths in it start at the
// file's directory. A file that holds a key, token or password is refused if every user of the host may read
// it.
func Load(path string, base Config) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	secret := func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return ReadSecret(name)
	}
	c, inline, err := parse(f, base, secret)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	for i := range c.Networks {
		c.Networks[i].resolve(filepath.Dir(path))
	}
	if inline {
		if err := checkPrivate(f); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// Parse reads a configuration file. What it does not say is as in base; secret reads the files named by token_file and
// psk_file. The error names the key, and the line if there is one.
func Parse(r io.Reader, base Config, secret func(name string) ([]byte, error)) (Config, error) {
	c, _, err := parse(r, base, secret)
	return c, err
}

// parse is Parse; it also says whether a key, token or password is written in the file itself.
func parse(r io.Reader, base Config, secret func(string) ([]byte, error)) (c Config, inline bool, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Config{}, false, err
	}
	var raw rawConfig
	md, err := toml.Decode(string(text), &raw)
	if err != nil {
		return Config{}, false, decodeError(err)
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		return Config{}, false, unknownKey(string(text), unknown[0])
	}
	c, err = raw.config(base, secret)
	for _, n := range raw.Networks {
		inline = inline || n.Token != "" || n.PSK != ""
	}
	for _, n := range c.Networks {
		inline = inline || n.IPAM.Secret()
	}
	return c, inline, err
}
