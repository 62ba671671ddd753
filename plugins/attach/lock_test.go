package attach_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/internal/meshdtest"
	"meshnet/plugins/internal/netdev"
)

// atOnce calls f n times at once, each on a thread that is in the test's host.
func atOnce(t *testing.T, n int, f func(i int)) {
	t.Helper()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	begin := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
			ready.Done()
			if err != nil {
				t.Errorf("entering the host: %v", err)
				return
			}
			<-begin
			f(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

// "No other Add or Del for the same interface runs at the same time": one wins, and has both lease and interface.
func TestAddAtOnce(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	ctx := context.Background()
	for range 10 {
		errs := make([]error, 16)
		atOnce(t, len(errs), func(i int) { _, errs[i] = attach.Add(ctx, client, r) })
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, attach.ErrExists) {
				t.Errorf("Add error = %v, want ErrExists", err)
			}
		}
		if calls := b.Calls(); won != 1 || !slices.Equal(calls, []string{"attach c1/eth0"}) {
			t.Errorf("%d of %d won, calls = %q, want 1 and one attach", won, len(errs), calls)
		}
		if _, err := attach.Check(ctx, client, r); err != nil {
			t.Errorf("Check = %v", err)
		}
		if err := attach.Del(ctx, client, r); err != nil {
			t.Errorf("Del = %v", err)
		}
		b.Calls()
	}
}

// Whatever comes last, interface and lease are there both or neither.
func TestAddAndDelAtOnce(t *testing.T) {
	client, r := start(t, meshdtest.New())
	ctx := context.Background()
	for range 10 {
		atOnce(t, 16, func(i int) {
			if i%2 == 0 {
				if _, err := attach.Add(ctx, client, r); err != nil && !errors.Is(err, attach.ErrExists) {
					t.Errorf("Add = %v", err)
				}
			} else if err := attach.Del(ctx, client, r); err != nil {
				t.Errorf("Del = %v", err)
			}
		})
		list, err := client.Attachments(ctx, "homes")
		if err != nil {
			t.Fatal(err)
		}
		dev, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(dev), "mn"); has != (len(list) == 1) {
			t.Errorf("attachments %+v, but the host's devices are\n%s", list, dev)
		}
	}
}

// "The file goes with the last one that uses it."
func TestLockFileGoes(t *testing.T) {
	client, r := start(t, meshdtest.New())
	ctx := context.Background()
	atOnce(t, 8, func(int) { attach.Add(ctx, client, r) })
	if list, err := os.ReadDir(r.LockDir); err != nil || len(list) != 0 {
		t.Errorf("locks = %v, %v, want none", list, err)
	}
	if info, err := os.Stat(r.LockDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the locks = %v, %v, want mode 0700", info, err)
	}
}

// One that hangs is not waited for without end.
func TestLockBusy(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	if err := os.MkdirAll(r.LockDir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(r.LockDir, netdev.HostName("c1", "eth0")))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "another attach or detach of the same container") {
			t.Errorf("%s error = %v, want a deadline's, about another attach", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = attach.Add(ctx, client, r)
	check("Add", err)
	other := r
	other.Network = "" // may be the same
	check("Del", attach.Del(ctx, client, other))
	if calls := b.Calls(); len(calls) != 0 {
		t.Errorf("calls = %q, want none", calls)
	}
	other.IfName = "eth1"
	if err := attach.Del(context.Background(), client, other); err != nil {
		t.Errorf("Del of another interface = %v", err)
	}
}

// "Where this process may not make the file, there is no lock."
func TestLockWithoutRights(t *testing.T) {
	client, r := start(t, meshdtest.New())
	r.LockDir = "/sys/meshnet"
	if _, err := attach.Add(context.Background(), client, r); err != nil {
		t.Errorf("Add = %v", err)
	}
	if err := attach.Del(context.Background(), client, r); err != nil {
		t.Errorf("Del = %v", err)
	}
}

// "An attachment that is in use must survive a second Add", in whatever namespace the second container is.
func TestAddElsewhere(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	ctx := context.Background()
	if _, err := attach.Add(ctx, client, r); err != nil {
		t.Fatal(err)
	}
	second := r
	second.NetNS, _ = meshdtest.Container(t)
	refused := func(when string) {
		t.Helper()
		_, err := attach.Add(ctx, client, second)
		const want = "container c1 has an interface in another running network namespace; detach it first, or give this container another name"
		if !errors.Is(err, attach.ErrExists) || err.Error() != want {
			t.Errorf("%s: Add error = %v, want ErrExists: %s", when, err, want)
		}
	}
	refused("attached")
	if calls := b.Calls(); !slices.Equal(calls, []string{"attach c1/eth0"}) {
		t.Errorf("calls = %q, want one attach", calls)
	}
	if _, err := attach.Check(ctx, client, r); err != nil {
		t.Errorf("Check of the first = %v", err)
	}
	if _, err := client.Detach(ctx, api.DetachRequest{Network: "homes", Container: "c1", IfName: "eth0"}); err != nil {
		t.Fatal(err)
	}
	refused("without an attachment")
	if err := attach.Del(ctx, client, r); err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Add(ctx, client, second); err != nil {
		t.Errorf("Add after Del = %v", err)
	}
}

// "A former run of the same container does not count": somebody holds its namespace, but its name is the new one's.
func TestAddAfterFormerRun(t *testing.T) {
	client, r := start(t, meshdtest.New())
	ctx := context.Background()
	old := r.NetNS
	r.NetNS = filepath.Join(t.TempDir(), "web")
	if err := os.Symlink(old, r.NetNS); err != nil {
		t.Fatal(err)
	}
	first, err := attach.Add(ctx, client, r)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := meshdtest.Container(t)
	if err := errors.Join(os.Remove(r.NetNS), os.Symlink(path, r.NetNS)); err != nil {
		t.Fatal(err)
	}
	second, err := attach.Add(ctx, client, r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(second.Addresses, first.Addresses) {
		t.Errorf("addresses = %v, were %v", second.Addresses, first.Addresses)
	}
	if _, err := attach.Check(ctx, client, r); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// Names that the kernel refuses, or makes into others, are refused before anybody is asked.
func TestAddIfNames(t *testing.T) {
	b := meshdtest.New()
	client, r := start(t, b)
	for _, row := range []struct{ name, want string }{
		{"all", `the kernel keeps the interface name "all" for itself`},
		{"default", `the kernel keeps the interface name "default" for itself`},
		{"%d", `interface name "%d" has the character '%'`},
		{"eth%d", `interface name "eth%d" has the character '%'`},
		{"a%b", `interface name "a%b" has the character '%'`},
		{"a/b", `interface name "a/b" has the character '/'`},
		{"e:1", `interface name "e:1" has the character ':'`},
		{"a b", `interface name "a b" has the character ' '`},
		{".", `"." is not an interface name`},
		{"..", `".." is not an interface name`},
		{"", "the interface name is empty"},
		{"sixteen-letters-", "the kernel allows 15"},
	} {
		r.IfName = row.name
		if _, err := attach.Add(context.Background(), client, r); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Add of %q: error = %v, want one with %q", row.name, err, row.want)
		} else if api.CodeOf(err) != api.Invalid {
			t.Errorf("Add of %q: error has code %v, want invalid", row.name, api.CodeOf(err))
		}
	}
	if calls := b.Calls(); len(calls) != 0 {
		t.Errorf("calls = %q, want none", calls)
	}
}
