package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"meshnet/meshd/session"
	"meshnet/meshd/token"
)

// rawConfig is the configuration file as TOML has it.
type rawConfig struct {
	Name     *string      `toml:"name"`
	Listen   *[]string    `toml:"listen"`
	State    *string      `toml:"state"`
	Socket   *string      `toml:"socket"`
	Group    *string      `toml:"group"`
	FWMark   *int64       `toml:"fwmark"`
	LogLevel *string      `toml:"log_level"`
	Without  []string     `toml:"without"`
	Relay    *bool        `toml:"relay"`
	Networks []rawNetwork `toml:"network"`
}

// rawNetwork is one [[network]].
type rawNetwork struct {
	Name      string          `toml:"name"`
	Token     string          `toml:"token"`
	TokenFile string          `toml:"token_file"`
	PSK       string          `toml:"psk"`
	PSKFile   string          `toml:"psk_file"`
	Endpoints []string        `toml:"endpoints"`
	Create    bool            `toml:"create"`
	Advertise []string        `toml:"advertise"`
	Bridge    string          `toml:"bridge"`
	DHCP      string          `toml:"dhcp"`
	Egress    string          `toml:"egress"`
	IPv6      string          `toml:"ipv6"`
	MTU       int             `toml:"mtu"`
	IPv4      string          `toml:"ipv4"`
	Pools     []string        `toml:"pools"`
	BlockBits int             `toml:"block_bits"`
	Exclude   []string        `toml:"exclude"`
	DeadAfter *token.Duration `toml:"dead_after"`
	Force     bool            `toml:"force"`
	IPAM      string          `toml:"ipam"`
	IPAMCA    string          `toml:"ipam_ca"`
	IPAMCert  string          `toml:"ipam_cert"`
	IPAMKey   string          `toml:"ipam_key"`
}

// config checks and translates the file; what it does not say is as in c.
func (r *rawConfig) config(c Config, secret func(string) ([]byte, error)) (Config, error) {
	if err := r.daemon(&c); err != nil {
		return Config{}, err
	}
	names, bridges := make(map[string]bool), make(map[string]bool)
	for i, raw := range r.Networks {
		n, err := raw.network(secret)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", raw.title(i), err)
		}
		if names[n.Name] {
			return Config{}, fmt.Errorf("network %q is there twice", n.Name)
		}
		if n.Bridge != "" && bridges[n.Bridge] {
			return Config{}, fmt.Errorf("network %q: bridge: another network uses %s", n.Name, n.Bridge)
		}
		names[n.Name], bridges[n.Bridge] = true, true
		c.Networks = append(c.Networks, n)
	}
	return c, nil
}

// daemon translates what is not about one network.
func (r *rawConfig) daemon(c *Config) error {
	if r.Name != nil {
		if err := token.CheckNodeName(*r.Name); err != nil {
			return fmt.Errorf("name: %w", err)
		}
		c.Name = *r.Name
	}
	if r.Listen != nil {
		if err := CheckListen(*r.Listen); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		c.Listen = *r.Listen
	}
	for _, p := range []struct {
		key       string
		from, set *string
	}{{"state", r.State, &c.State}, {"socket", r.Socket, &c.Socket}} {
		if p.from == nil {
			continue
		}
		if *p.from == "" {
			return fmt.Errorf("%s: the path is empty", p.key)
		}
		*p.set = *p.from
	}
	if r.Group != nil {
		c.Group = *r.Group
	}
	if r.FWMark != nil {
		if *r.FWMark < 0 || *r.FWMark > math.MaxUint32 {
			return fmt.Errorf("fwmark: %d does not fit into 32 bits", *r.FWMark)
		}
		c.FWMark = int(*r.FWMark)
	}
	if err := CheckWithout(r.Without); err != nil {
		return fmt.Errorf("without: %w", err)
	}
	if len(r.Without) > 0 {
		c.Without = r.Without
	}
	if r.Relay != nil {
		c.Relay = *r.Relay
	}
	if r.LogLevel != nil {
		level, err := ParseLevel(*r.LogLevel)
		if err != nil {
			return fmt.Errorf("log_level: %w", err)
		}
		c.LogLevel = level
	}
	return nil
}

// ParseLevel returns the level that is called debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%.20q is not debug, info, warn or error", s)
}

// CheckListen says whether there are addresses and each is "ADDR:PORT" with an IP address or none.
func CheckListen(listen []string) error {
	if len(listen) == 0 {
		return errors.New("there is no address")
	}
	for _, l := range listen {
		host, port, err := net.SplitHostPort(l)
		if err != nil {
			return fmt.Errorf("%q is not ADDR:PORT", l)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q: port %q is not a number up to 65535", l, port)
		}
		if _, err := netip.ParseAddr(host); host != "" && err != nil {
			return fmt.Errorf("%q: %q is not an IP address", l, host)
		}
	}
	return nil
}

// title says which network an error is about.
func (r *rawNetwork) title(i int) string {
	if r.Name != "" {
		return fmt.Sprintf("network %q", r.Name)
	}
	return fmt.Sprintf("network %d", i+1)
}

// network checks and translates one network.
func (r *rawNetwork) network(secret func(string) ([]byte, error)) (n Network, err error) {
	switch r.keys() {
	case 0:
		return Network{}, errors.New("one of token, token_file, psk and psk_file is needed")
	case 1:
	default:
		return Network{}, errors.New("only one of token, token_file, psk and psk_file can be there")
	}
	if r.Token != "" || r.TokenFile != "" {
		n, err = r.fromToken(secret)
	} else {
		n, err = r.fromPSK(secret)
	}
	if err != nil {
		return Network{}, err
	}
	if err := r.setIPAM(&n); err != nil {
		return Network{}, err
	}
	if err := token.CheckEndpoints(r.Advertise); err != nil {
		return Network{}, fmt.Errorf("advertise: %w", err)
	}
	if r.Bridge != "" {
		if err := token.CheckIfName(r.Bridge); err != nil {
			return Network{}, fmt.Errorf("bridge: %w", err)
		}
	}
	if err := token.CheckDHCP(r.DHCP); err != nil {
		return Network{}, fmt.Errorf("dhcp: %w", err)
	}
	if err := token.CheckEgress(r.Egress); err != nil {
		return Network{}, fmt.Errorf("egress: %w", err)
	}
	n.Advertise, n.Bridge, n.DHCP, n.Egress = r.Advertise, r.Bridge, r.DHCP, r.Egress
	return n, nil
}

// keys counts how many times the file says the network's key.
func (r *rawNetwork) keys() int {
	n := 0
	for _, s := range []string{r.Token, r.TokenFile, r.PSK, r.PSKFile} {
		if s != "" {
			n++
		}
	}
	return n
}

// fromToken makes a network of its token.
func (r *rawNetwork) fromToken(secret func(string) ([]byte, error)) (Network, error) {
	key, text := "token", r.Token
	if r.TokenFile != "" {
		b, err := secret(r.TokenFile)
		if err != nil {
			return Network{}, fmt.Errorf("token_file: %w", err)
		}
		if strings.TrimSpace(string(b)) == "" {
			return Network{}, errors.New("token_file: the token file is empty")
		}
		key, text = "token_file", string(b)
	}
	t, err := token.Parse(text)
	if err != nil {
		return Network{}, fmt.Errorf("%s: %w", key, err)
	}
	switch {
	case r.Name != "" && r.Name != t.Name:
		return Network{}, fmt.Errorf("%s: the token is of network %q", key, t.Name)
	case r.Create:
		return Network{}, errors.New("create: a network that has a token exists already; join it, or give psk instead")
	case len(r.Endpoints) > 0, r.IPv6 != "", r.MTU != 0:
		return Network{}, errors.New("endpoints, ipv6 and mtu are in the token; leave them out, or give psk instead")
	case r.saysIPv4():
		return Network{}, errors.New("ipv4, pools, block_bits, exclude and dead_after are the network's, which has a token; leave them out")
	}
	n := Network{
		Name: t.Name, NetworkID: t.NetworkID, PSK: t.PSK, MTU: t.MTU, IPv6: t.IPv6, Seeds: t.Endpoints,
		IPv4None: len(t.Pools) == 0, IPAM: t.IPAM,
	}
	for _, p := range t.Pools {
		n.Pools = append(n.Pools, token.Pool{Prefix: p})
	}
	return n, nil
}

// fromPSK makes a network of its name, key and endpoints.
func (r *rawNetwork) fromPSK(secret func(string) ([]byte, error)) (n Network, err error) {
	if err := token.CheckName(r.Name); err != nil {
		return Network{}, fmt.Errorf("name: %w", err)
	}
	key, text := "psk", r.PSK
	if r.PSKFile != "" {
		b, err := secret(r.PSKFile)
		if err != nil {
			return Network{}, fmt.Errorf("psk_file: %w", err)
		}
		key, text = "psk_file", string(b)
	}
	psk, err := ParsePSK(r.Name, text)
	if err != nil {
		return Network{}, fmt.Errorf("%s: %w", key, err)
	}
	n = Network{Name: r.Name, NetworkID: session.NetworkID(r.Name, psk), PSK: psk, Create: r.Create, Seeds: r.Endpoints}
	if err := token.CheckEndpoints(r.Endpoints); err != nil {
		return Network{}, fmt.Errorf("endpoints: %w", err)
	}
	if len(r.Endpoints) == 0 && !r.Create {
		return Network{}, errors.New("endpoints of members are needed; on exactly one host, the first, create = true instead")
	}
	if r.IPv6 != "" {
		p, err := netip.ParsePrefix(r.IPv6)
		if err != nil {
			return Network{}, fmt.Errorf("ipv6: %q is not a prefix", r.IPv6)
		}
		if err := token.CheckIPv6(p); err != nil {
			return Network{}, fmt.Errorf("ipv6: %w", err)
		}
		n.IPv6 = p
	}
	if r.MTU != 0 {
		if err := token.CheckMTU(r.MTU); err != nil {
			return Network{}, fmt.Errorf("mtu: %w", err)
		}
		n.MTU = r.MTU
	}
	return n, r.setIPv4(&n)
}
