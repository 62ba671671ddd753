package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"meshnet/meshd/session"
)

// Peer is a member met before: whom to call first after a restart.
type Peer struct {
	ID        session.NodeID   `json:"id"`
	Name      string           `json:"name"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	Seen      time.Time        `json:"seen"`
}

// peersFile is peers.json.
type peersFile struct {
	Peers []Peer `json:"peers"`
}

func (s *State) peersPath(name string) string { return filepath.Join(s.NetworkDir(name), "peers.json") }

// LoadPeers returns the members of a network that were saved, none if there is no file. After an error, going on without
// them is right: they are learned again.
func (s *State) LoadPeers(name string) ([]Peer, error) {
	data, err := os.ReadFile(s.peersPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f peersFile
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the known members of %s: %w", name, err)
	}
	return f.Peers, nil
}

// SavePeers replaces the saved members of a network.
func (s *State) SavePeers(name string, peers []Peer) error {
	data, err := json.Marshal(peersFile{Peers: peers})
	if err == nil {
		err = writeFile(s.peersPath(name), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("saving the known members of %s: %w", name, writable(err))
	}
	return nil
}
