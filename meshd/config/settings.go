package config

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"meshnet/meshd/session"
	"meshnet/meshd/token"
)

// Settings are what a host keeps of a network that it is a member of. They hold the network's key and the host's.
type Settings struct {
	Name         string
	NetworkID    [16]byte
	PSK          [32]byte
	MTU          int              // bytes; of the overlay
	IPv6         netip.Prefix     // of the overlay
	Pools        []token.Pool     // of IPv4 addresses; none: the network has no IPv4
	IPAM         token.IPAM       // who hands out blocks of the pools, with what lets this host in; may hold a password
	DeadAfter    token.Duration   // how long a host may be silent, if this one makes the registry; 0: the default
	Bridge       string           // containers are put into it
	BridgeOwned  bool             // meshd made the bridge
	DHCP         string           // whom it is answered, as token.CheckDHCP has it
	Egress       string           // how containers get out, as token.CheckEgress has it
	Advertise    []string         // endpoints of this host, beside its interfaces'; "HOST:PORT"
	Seeds        []string         // endpoints of members to ask for the others; "HOST:PORT"
	NodeName     string           // this host's, in this network
	Created      bool             // this host created the network
	Founded      bool             // the registry of IPv4 blocks has been made: this host must not make another
	Pending      bool             // it is being made or removed: a start that finds it so erases it
	Identity     session.Identity // this host's, in this network
	LastInstance uint64           // of the last start; every start has a larger one
}

// ErrCorrupt is wrapped by errors about a network.json that is there but does not make sense.
var ErrCorrupt = errors.New("the file is damaged")

// settingsVersion is the version of network.json's format.
const settingsVersion = 1

// settingsFile is network.json.
type settingsFile struct {
	Version      int            `json:"version"`
	Name         string         `json:"name"`
	NetworkID    hexBytes       `json:"network_id"`
	PSK          hexBytes       `json:"psk"`
	MTU          int            `json:"mtu"`
	IPv6         string         `json:"ipv6"`
	Pools        []token.Pool   `json:"pools"`
	IPAM         string         `json:"ipam"`
	DeadAfter    token.Duration `json:"dead_after,omitzero"`
	Bridge       string         `json:"bridge"`
	BridgeOwned  bool           `json:"bridge_owned"`
	DHCP         string         `json:"dhcp,omitempty"`
	Egress       string         `json:"egress,omitempty"`
	Advertise    []string       `json:"advertise"`
	Seeds        []string       `json:"seeds"`
	NodeName     string         `json:"node_name"`
	Created      bool           `json:"created"`
	Founded      bool           `json:"founded,omitempty"`
	Pending      bool           `json:"pending,omitempty"`
	PrivateKey   hexBytes       `json:"private_key"`
	LastInstance uint64         `json:"last_instance"`
}

// hexBytes is hexadecimal digits in JSON.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// settingsPath returns the path of a network's network.json.
func (s *State) settingsPath(name string) string {
	return filepath.Join(s.NetworkDir(name), "network.json")
}

// Save puts a network's settings on disk, and makes the network's directory if there is none. If it fails, what was
// saved before is still there.
func (s *State) Save(n Settings) error {
	err := n.check()
	if err == nil {
		err = s.save(n)
	}
	if err != nil {
		return fmt.Errorf("saving network %s: %w", n.Name, writable(err))
	}
	return nil
}

func (s *State) save(n Settings) error {
	data, err := json.MarshalIndent(settingsFile{
		Version:      settingsVersion,
		Name:         n.Name,
		NetworkID:    n.NetworkID[:],
		PSK:          n.PSK[:],
		MTU:          n.MTU,
		IPv6:         n.IPv6.String(),
		Pools:        n.Pools,
		IPAM:         n.IPAM.URL(),
		DeadAfter:    n.DeadAfter,
		Bridge:       n.Bridge,
		BridgeOwned:  n.BridgeOwned,
		DHCP:         n.DHCP,
		Egress:       n.Egress,
		Advertise:    n.Advertise,
		Seeds:        n.Seeds,
		NodeName:     n.NodeName,
		Created:      n.Created,
		Founded:      n.Founded,
		Pending:      n.Pending,
		PrivateKey:   n.Identity.Private[:],
		LastInstance: n.LastInstance,
	}, "", "  ")
	if err != nil {
		return err
	}
	switch err := os.Mkdir(s.NetworkDir(n.Name), 0o700); {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return err
	default:
		if err := syncDir(filepath.Join(s.dir, "networks")); err != nil {
			return err
		}
	}
	return writeFile(s.settingsPath(n.Name), append(data, '\n'))
}

// Load returns a network's settings. The error wraps fs.ErrNotExist if there are none, and ErrCorrupt, and says what can be
// done, if the file is damaged.
func (s *State) Load(name string) (Settings, error) {
	if err := token.CheckName(name); err != nil {
		return Settings{}, err
	}
	path := s.settingsPath(name)
	data, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("reading network %s: %w", name, err)
	}
	n, err := parseSettings(data)
	if err == nil && n.Name != name {
		err = fmt.Errorf("%w: it is of network %q", ErrCorrupt, n.Name)
	}
	if errors.Is(err, ErrCorrupt) {
		return Settings{}, fmt.Errorf("reading %s: %w; restore it from a backup, or move the directory %s away and join again as "+
			"a new member", path, err, s.NetworkDir(name))
	}
	if err != nil {
		return Settings{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return n, nil
}

// parseSettings reads a network.json. The error wraps ErrCorrupt, but for a file of a later version.
func parseSettings(data []byte) (Settings, error) {
	var version struct{ Version int }
	if err := json.Unmarshal(data, &version); err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if version.Version < 1 {
		return Settings{}, fmt.Errorf("%w: it has no version", ErrCorrupt)
	}
	if version.Version > settingsVersion {
		return Settings{}, fmt.Errorf("it was written by a newer meshnet (version %d); upgrade this host", version.Version)
	}
	var f settingsFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	n, err := f.settings()
	if err == nil {
		err = n.check()
	}
	if err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return n, nil
}

// settings translates the file.
func (f *settingsFile) settings() (Settings, error) {
	n := Settings{
		Name: f.Name, MTU: f.MTU, Bridge: f.Bridge, BridgeOwned: f.BridgeOwned, Advertise: f.Advertise, Seeds: f.Seeds,
		NodeName: f.NodeName, Created: f.Created, Founded: f.Founded, Pending: f.Pending, LastInstance: f.LastInstance, Pools: f.Pools,
		DeadAfter: f.DeadAfter, DHCP: f.DHCP, Egress: f.Egress,
	}
	var private [32]byte
	for _, b := range []struct {
		key      string
		from, to []byte
	}{
		{"network_id", f.NetworkID, n.NetworkID[:]}, {"psk", f.PSK, n.PSK[:]}, {"private_key", f.PrivateKey, private[:]},
	} {
		if len(b.from) != len(b.to) {
			return Settings{}, fmt.Errorf("%s has %d bytes, want %d", b.key, len(b.from), len(b.to))
		}
		copy(b.to, b.from)
	}
	var err error
	if n.IPv6, err = netip.ParsePrefix(f.IPv6); err != nil {
		return Settings{}, fmt.Errorf("ipv6: %w", err)
	}
	if n.IPAM, err = token.ParseIPAM(f.IPAM); err != nil {
		return Settings{}, fmt.Errorf("ipam: %w", err)
	}
	if n.Identity, err = session.IdentityFromPrivate(private); err != nil {
		return Settings{}, err
	}
	return n, nil
}

// check says whether every field makes sense.
func (n Settings) check() error {
	if err := token.CheckIfName(n.Bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := token.CheckDHCP(n.DHCP); err != nil {
		return fmt.Errorf("dhcp: %w", err)
	}
	if err := token.CheckEgress(n.Egress); err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	if err := token.CheckNodeName(n.NodeName); err != nil {
		return err
	}
	if n.Identity.Private == [32]byte{} {
		return errors.New("the private key is all zeros")
	}
	if err := token.CheckPools(n.Pools); err != nil {
		return err
	}
	if err := token.CheckDeadAfter(n.DeadAfter); err != nil {
		return fmt.Errorf("dead_after: %w", err)
	}
	if err := n.IPAM.Check(); err != nil {
		return fmt.Errorf("ipam: %w", err)
	}
	t := token.Token{Name: n.Name, NetworkID: n.NetworkID, PSK: n.PSK, MTU: n.MTU, IPv6: n.IPv6, Endpoints: n.Seeds}
	if err := t.Check(); err != nil {
		return err
	}
	return token.CheckEndpoints(n.Advertise)
}
