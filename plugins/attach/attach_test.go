package attach_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/meshdtest"
)

// start makes a host with a meshd, a container, and the request for its eth0.
func start(t *testing.T, b *meshdtest.Backend) (*api.Client, attach.Request) {
	t.Helper()
	meshdtest.Host(t)
	client := api.NewClient(meshdtest.Start(t, b))
	t.Cleanup(client.Close)
	path, _ := meshdtest.Container(t)
	return client, attach.Request{Network: "homes", Container: "c1", IfName: "eth0", NetNS: path, Source: api.SourceManual,
		LockDir: filepath.Join(t.TempDir(), "locks")}
}

func TestAddCheckDel(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	r.MTU = 1400
	ctx := context.Background()
	got, err := attach.Add(ctx, client, r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Container != "c1" || got.NetNS != r.NetNS || got.MTU != 1400 || got.HostName == "" || got.HostMAC == "" {
		t.Errorf("Add = %+v", got)
	}
	if got.HostName != attach.HostName("c1", "eth0") {
		t.Errorf("the host's end is %s, want %s", got.HostName, attach.HostName("c1", "eth0"))
	}
	if a := got.Addresses; len(a) != 2 || !a[0].Addr().Is6() || !a[1].Addr().Is4() {
		t.Errorf("addresses are %v, want one of IPv6 and one of IPv4", a)
	}
	if _, err := attach.Check(ctx, client, r); err != nil {
		t.Errorf("Check = %v", err)
	}
	for range 2 { // idempotent
		if err := attach.Del(ctx, client, r); err != nil {
			t.Errorf("Del = %v", err)
		}
	}
	if _, err := attach.Check(ctx, client, r); err == nil || !strings.Contains(err.Error(), "no attachment c1/eth0") {
		t.Errorf("Check after Del = %v, want an error about the attachment", err)
	}
	if got, want := b.Calls(), []string{"attach c1/eth0", "detach c1/eth0", "detach c1/eth0"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q, want %q", got, want)
	}
}

// "While it could not be removed, the addresses stay leased: the container has them."
func TestDelThatFails(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	name := attach.HostName(r.Container, r.IfName)
	if out, err := exec.Command("ip", "link", "add", name, "type", "bridge").CombinedOutput(); err != nil { // what Del does not remove
		t.Fatalf("%v: %s", err, out)
	}
	if err := attach.Del(context.Background(), client, r); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("Del error = %v, want one about %s", err, name)
	}
	if calls := b.Calls(); len(calls) != 0 {
		t.Errorf("calls = %q, want none: nothing was removed", calls)
	}
}

// "An Add that fails leaves neither an interface nor an attachment", whichever step it is that fails.
func TestAddUndoes(t *testing.T) {
	rows := []struct {
		name    string
		change  func(*meshdtest.Backend, *attach.Request)
		is      error
		code    api.Code
		calls   []string
		message string
	}{
		{name: "no namespace", change: func(_ *meshdtest.Backend, r *attach.Request) { r.NetNS = "/run/netns/none" },
			is: attach.ErrNoNamespace},
		{name: "neither namespace nor PID", change: func(_ *meshdtest.Backend, r *attach.Request) { r.NetNS = "" },
			message: "neither a network namespace nor a process"},
		{name: "no such process", change: func(_ *meshdtest.Backend, r *attach.Request) { r.NetNS, r.PID = "", 1<<29 },
			message: "process 536870912"},
		{name: "interface exists", change: func(_ *meshdtest.Backend, r *attach.Request) { r.IfName = "lo" },
			is: attach.ErrExists},
		{name: "unknown network", change: func(_ *meshdtest.Backend, r *attach.Request) { r.Network = "nope" },
			code: api.NotFound, calls: []string{"attach c1/eth0"}},
		{name: "meshd fails", change: func(b *meshdtest.Backend, _ *attach.Request) { b.Fail = errors.New("disk full") },
			code: api.Internal, calls: []string{"attach c1/eth0"}},
		{name: "no bridge", change: func(b *meshdtest.Backend, _ *attach.Request) { b.Net.Bridge = "none0" },
			is: attach.ErrInterface, calls: []string{"attach c1/eth0", "detach c1/eth0"}, message: "there is no bridge none0"},
		{name: "bad route", change: func(b *meshdtest.Backend, _ *attach.Request) {
			b.Routes = []api.Route{{Dst: netip.MustParsePrefix("fd09::/64"), Gateway: netip.MustParseAddr("2001:db8::1")}}
		}, is: attach.ErrInterface, calls: []string{"attach c1/eth0", "detach c1/eth0"}},
		{name: "no veth to adopt", change: func(_ *meshdtest.Backend, r *attach.Request) { r.HostLink = "vethNONE" },
			is: attach.ErrInterface, calls: []string{"attach c1/eth0", "detach c1/eth0"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := meshdtest.New()
			client, r := start(t, b)
			row.change(b, &r)
			_, err := attach.Add(context.Background(), client, r)
			if err == nil || row.is != nil && !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.message) {
				t.Errorf("Add error = %v, want %v with %q", err, row.is, row.message)
			}
			if row.code != "" && api.CodeOf(err) != row.code {
				t.Errorf("Add error = %v with code %v, want %v", err, api.CodeOf(err), row.code)
			}
			if calls := b.Calls(); !slices.Equal(calls, row.calls) {
				t.Errorf("calls = %q, want %q", calls, row.calls)
			}
			if dev, err := os.ReadFile("/proc/thread-self/net/dev"); err != nil || strings.Contains(string(dev), "mn") {
				t.Errorf("the host's devices are\n%s(%v), want no mn…", dev, err)
			}
		})
	}
}

func TestAddIPv4(t *testing.T) {
	rows := []struct{ ask, want string }{
		{"10.77.3.9", "10.77.3.9/16"},
		{api.NoIPv4, ""},
	}
	for _, row := range rows {
		t.Run(row.ask, func(t *testing.T) {
			client, r := start(t, meshdtest.New())
			r.IPv4 = row.ask
			got, err := attach.Add(context.Background(), client, r)
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			if len(got.Addresses) > 1 {
				text = got.Addresses[1].String()
			}
			if text != row.want {
				t.Errorf("addresses are %v, want %q behind that of IPv6", got.Addresses, row.want)
			}
			if _, err := attach.Check(context.Background(), client, r); err != nil {
				t.Errorf("Check = %v", err)
			}
		})
	}
}

// A container whose address is another host's by now is not as it should be, though its interface is.
func TestCheckLost(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	if _, err := attach.Add(context.Background(), client, r); err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Check(context.Background(), client, r); err != nil {
		t.Fatalf("Check error = %v, want nil", err)
	}
	b.Lose(r.Container, r.IfName)
	if _, err := attach.Check(context.Background(), client, r); !errors.Is(err, attach.ErrLost) || !strings.Contains(err.Error(), "attach it again") {
		t.Errorf("Check error = %v, want ErrLost and the way out", err)
	}
}

// "Add fails if it is not that of the attachment, with the length of its subnet."
func TestAddRuntimeIPv4Errors(t *testing.T) {
	rows := []struct{ name, ask, runtime, want string }{
		{"another length", "10.77.3.9", "10.77.3.9/8", "the runtime is going to set 10.77.3.9/8, and the attachment has 10.77.3.9/16"},
		{"another address", "10.77.3.9", "10.77.3.8/16", "the runtime is going to set 10.77.3.8/16"},
		{"no address", api.NoIPv4, "10.77.3.9/16", "the attachment has no IPv4 address"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := meshdtest.New()
			client, r := start(t, b)
			r.IPv4, r.RuntimeIPv4, r.HostLink = row.ask, netip.MustParsePrefix(row.runtime), "vethHOST"
			_, err := attach.Add(context.Background(), client, r)
			if !errors.Is(err, attach.ErrInterface) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Add error = %v, want ErrInterface with %q", err, row.want)
			}
			if got, want := b.Calls(), []string{"attach c1/eth0", "detach c1/eth0"}; !slices.Equal(got, want) {
				t.Errorf("calls = %q, want %q", got, want)
			}
		})
	}
}

// "unless it was there before": a second Add for a container that is attached must not take its lease away.
func TestAddKeepsWhatWasThere(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	ctx := context.Background()
	if _, err := attach.Add(ctx, client, r); err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Add(ctx, client, r); !errors.Is(err, attach.ErrExists) {
		t.Errorf("second Add error = %v, want ErrExists", err)
	}
	if got, want := b.Calls(), []string{"attach c1/eth0"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q, want %q", got, want)
	}
	if _, err := attach.Check(ctx, client, r); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// "The interface goes even if meshd cannot be told."
func TestDelWithoutMeshd(t *testing.T) {
	client, r := start(t, meshdtest.New())
	ctx := context.Background()
	if _, err := attach.Add(ctx, client, r); err != nil {
		t.Fatal(err)
	}
	err := attach.Del(ctx, api.NewClient("/nonexistent/meshd.sock"), r)
	if !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("Del error = %v, want ErrUnreachable", err)
	}
	if dev, err := os.ReadFile("/proc/thread-self/net/dev"); err != nil || strings.Contains(string(dev), "mn") {
		t.Errorf("the host's devices are\n%s(%v), want no mn…", dev, err)
	}
}

func TestAddWithoutMeshd(t *testing.T) {
	_, r := start(t, meshdtest.New())
	_, err := attach.Add(context.Background(), api.NewClient("/nonexistent/meshd.sock"), r)
	if !errors.Is(err, api.ErrUnreachable) || !strings.Contains(err.Error(), "systemctl status meshd") {
		t.Errorf("Add error = %v, want ErrUnreachable with a way out", err)
	}
}
