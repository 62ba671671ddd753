package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	lxd "github.com/canonical/lxd/client"
	"github.com/canonical/lxd/shared"
	lxdapi "github.com/canonical/lxd/shared/api"
)

// defaultSockets are where LXD listens: the snap's, and that of Debian's package.
var defaultSockets = []string{"/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket"}

// errNoLXD says that no LXD answers.
var errNoLXD = errors.New("LXD is not reachable")

// server is an LXD that is connected.
type server struct {
	lxd.InstanceServer
	here string // this cluster member's name; "" without a cluster
}

// connect connects to the LXD that listens on socket, or on the first of defaultSockets that is there. ctx is that of all its calls.
func connect(ctx context.Context, socket string) (*server, error) {
	path, err := lxdSocket(socket, os.Stat)
	if err != nil {
		return nil, err
	}
	s, err := lxd.ConnectLXDUnixWithContext(ctx, path, &lxd.ConnectionArgs{UserAgent: "meshnet-lxd " + version})
	if err != nil {
		return nil, unreachable(path, err)
	}
	info, _, err := s.GetServer()
	if err != nil {
		return nil, unreachable(path, err)
	}
	if info.Auth != "trusted" {
		return nil, fmt.Errorf("LXD on %s does not trust this user: be root or a member of the group lxd", path)
	}
	c := &server{InstanceServer: s}
	if info.Environment.ServerClustered {
		c.here = info.Environment.ServerName
	}
	return c, nil
}

// lxdSocket returns the socket to connect to.
func lxdSocket(socket string, stat func(string) (fs.FileInfo, error)) (string, error) {
	if socket != "" {
		return socket, nil
	}
	for _, path := range defaultSockets {
		if _, err := stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is neither %s: is LXD installed, and running? (systemctl status snap.lxd.daemon lxd; --lxd-socket if it is elsewhere)",
		errNoLXD, strings.Join(defaultSockets, " nor "))
}

// unreachable explains why LXD cannot be connected to.
func unreachable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket %s; is LXD running? (systemctl status snap.lxd.daemon lxd)", errNoLXD, path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s; LXD has ended (systemctl status snap.lxd.daemon lxd)", errNoLXD, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: permission denied; be root or a member of the group lxd", errNoLXD, path)
	}
	return fmt.Errorf("%w: %w", errNoLXD, err)
}

// nics returns the interfaces of the instances on this host that are in bridges.
func (s *server) nics() ([]nic, error) {
	networks, err := s.GetNetworks()
	if err != nil {
		return nil, fmt.Errorf("asking LXD for its networks: %w", err)
	}
	projects, err := s.GetProjects()
	if err != nil {
		return nil, fmt.Errorf("asking LXD for its projects: %w", err)
	}
	instances, err := s.GetInstancesAllProjects(lxdapi.InstanceTypeAny)
	if err != nil {
		return nil, fmt.Errorf("asking LXD for its instances: %w", err)
	}
	b := bridges{managed: make(map[string]bool), separate: make(map[string]bool)}
	for _, n := range networks {
		b.managed[n.Name] = n.Managed && n.Type == "bridge"
	}
	for _, p := range projects {
		b.separate[p.Name] = p.Name != defaultProject && shared.IsTrue(p.Config["features.networks"])
	}
	return readInstances(instances, b, s.here), nil
}

// changes sends on kick, which has room for one, whenever something has changed that nics depends on, and returns what ends when LXD does.
func (s *server) changes(kick chan<- struct{}) (*lxd.EventListener, error) {
	listener, err := s.GetEventsAllProjects()
	if err == nil {
		_, err = listener.AddHandler([]string{lxdapi.EventTypeLifecycle}, func(e lxdapi.Event) {
			var l lxdapi.EventLifecycle
			if json.Unmarshal(e.Metadata, &l) == nil && !matters(l.Action) {
				return
			}
			select {
			case kick <- struct{}{}:
			default: // it has been told already
			}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("following LXD's events: %w", err)
	}
	return listener, nil
}

// matters reports whether an event can change which interfaces there are.
func matters(action string) bool {
	kind, what, _ := strings.Cut(action, "-")
	switch kind {
	case "instance":
		return slices.Contains([]string{"created", "deleted", "renamed", "restored", "updated", "started", "restarted"}, what)
	case "network", "project", "profile", "cluster":
		return true
	}
	return false
}
