// Package meshdtest is a meshd for the tests of plugins: the API's real handler on a real Unix socket, before a Backend
// that hands out leases from memory and does nothing else. A new network namespace and a bridge are the test's own
// business: see Host.
package meshdtest

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"meshnet/meshd/api"
)

// Backend is the daemon behind the socket. Methods that plugins do not call panic (the embedded interface is nil).
type Backend struct {
	api.Backend

	// Set before the first call.
	Net    api.Network // the only one
	Fail   error       // what every Attach answers; nil: it works
	Routes []api.Route // of every attachment
	// FailDetach is what Detach answers for a container.
	FailDetach map[string]error
	NoIPv4     string       // what Ready says of IPv4
	IPv4       netip.Prefix // a pool, of which the first 256 addresses are handed out

	mu          sync.Mutex
	attachments map[[2]string]api.Attachment
	calls       []string
}

// New returns a backend with the network "homes" on the bridge Bridge.
func New() *Backend {
	return &Backend{
		Net: api.Network{
			Name: "homes", State: api.NetworkUp, Bridge: Bridge, MTU: 1500,
			IPv6: netip.MustParsePrefix("fd00:1:2::/48"),
		},
		IPv4:        netip.MustParsePrefix("10.77.0.0/16"),
		attachments: make(map[[2]string]api.Attachment),
	}
}

// Start serves b on a socket until the test ends, and returns its path.
func Start(t *testing.T, b *Backend) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	l, err := api.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.NewHandler(b, slog.New(slog.DiscardHandler))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return socket
}

// Calls returns what was called since the last time, as "attach c1/eth0" and "detach c1/eth0".
func (b *Backend) Calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

// Networks implements api.Backend.
func (b *Backend) Networks(context.Context) ([]api.Network, error) {
	return []api.Network{b.Net}, nil
}

// Network implements api.Backend.
func (b *Backend) Network(_ context.Context, name string) (api.Network, error) {
	if name != b.Net.Name {
		return api.Network{}, api.Errorf(api.NotFound, "there is no network %q on this host, only %s", name, b.Net.Name)
	}
	return b.Net, nil
}

// Ready implements api.Backend.
func (b *Backend) Ready(_ context.Context, name string) (api.Readiness, error) {
	if name != b.Net.Name {
		return api.Readiness{}, api.Errorf(api.NotFound, "there is no network %q on this host, only %s", name, b.Net.Name)
	}
	return api.Readiness{Network: name, State: b.Net.State, Error: b.Net.Error, NoIPv4: b.NoIPv4, Peers: b.Net.Peers}, nil
}

// Attachments implements api.Backend.
func (b *Backend) Attachments(_ context.Context, name string) ([]api.Attachment, error) {
	if name != "" && name != b.Net.Name {
		return nil, api.Errorf(api.NotFound, "there is no network %q on this host, only %s", name, b.Net.Name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []api.Attachment
	for _, a := range b.attachments {
		list = append(list, a)
	}
	return list, nil
}

// Attach implements api.Backend.
func (b *Backend) Attach(_ context.Context, r api.AttachRequest) (api.Attachment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, "attach "+r.Container+"/"+r.IfName)
	if b.Fail != nil {
		return api.Attachment{}, b.Fail
	}
	if r.Network != b.Net.Name {
		return api.Attachment{}, api.Errorf(api.NotFound, "there is no network %q on this host, only %s", r.Network, b.Net.Name)
	}
	key := [2]string{r.Container, r.IfName}
	if a, ok := b.attachments[key]; ok {
		if (a.Source == api.SourceCNIIPAM) != (r.Source == api.SourceCNIIPAM) {
			return api.Attachment{}, api.Errorf(api.Conflict, "%s/%s has its addresses already (source %s); detach it first", a.Container, a.IfName, a.Source)
		}
		return a, nil
	}
	a := b.lease(r)
	b.attachments[key] = a
	return a, nil
}

// lease derives an attachment from its names, as meshd does.
func (b *Backend) lease(r api.AttachRequest) api.Attachment {
	sum := sha256.Sum256([]byte(r.Container + "/" + r.IfName))
	prefix := b.Net.IPv6.Addr().As16()
	copy(prefix[8:], sum[:8])
	mac := r.MAC
	if mac == (api.MAC{}) {
		mac = api.MAC{2, sum[1], sum[2], sum[3], sum[4], sum[5]}
	}
	a := api.Attachment{
		Network: b.Net.Name, Container: r.Container, IfName: r.IfName,
		Bridge: b.Net.Bridge, MTU: b.Net.MTU,
		MAC:       mac,
		Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16(prefix), 64)},
		Routes:    b.Routes,
		Source:    r.Source, NetNS: r.NetNS, CNINetwork: r.CNINetwork, Aliases: r.Aliases,
		Created: time.Now().UTC().Truncate(time.Millisecond),
	}
	if r.MTU != 0 {
		a.MTU = r.MTU
	}
	none, ipv4 := r.V4()
	if none {
		return a
	}
	if !ipv4.IsValid() {
		bytes := b.IPv4.Addr().As4()
		bytes[3] = 2 + sum[8]%250
		ipv4 = netip.AddrFrom4(bytes)
	}
	a.Addresses = append(a.Addresses, netip.PrefixFrom(ipv4, b.IPv4.Bits()))
	return a
}

// Lose takes the IPv4 address from an attachment, as meshd does when the address is another host's.
func (b *Backend) Lose(container, ifname string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := [2]string{container, ifname}
	a := b.attachments[key]
	for i, p := range a.Addresses {
		if p.Addr().Is4() {
			a.Lost, a.Addresses = p.Addr(), slices.Delete(slices.Clone(a.Addresses), i, i+1)
			break
		}
	}
	b.attachments[key] = a
}

// Detach implements api.Backend.
func (b *Backend) Detach(_ context.Context, r api.DetachRequest) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, "detach "+r.Container+"/"+r.IfName)
	key := [2]string{r.Container, r.IfName}
	a, ok := b.attachments[key]
	if r.Source != "" && r.Source != a.Source || r.CNINetwork != "" && a.CNINetwork != "" && r.CNINetwork != a.CNINetwork {
		return false, nil
	}
	if err := b.FailDetach[r.Container]; err != nil {
		return false, err
	}
	delete(b.attachments, key)
	return ok, nil
}
