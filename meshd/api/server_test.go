package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshnet/meshd/token"
)

// "a 1 GB body gets 413 promptly without being read": the answer comes although the body does not, or no more of it than
// the limit.
func TestLargeBody(t *testing.T) {
	f := &fake{}
	path := serve(t, f)
	const head = "POST /v1/networks HTTP/1.1\r\nHost: meshd\r\n"
	for name, request := range map[string]string{
		"announced": head + "Content-Length: 1073741824\r\n\r\n",
		"chunked":   head + "Transfer-Encoding: chunked\r\n\r\n40000000\r\n" + strings.Repeat(" ", MaxBody+1),
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
			t.Errorf("%s: status %d, close %v; want 413 and the connection closed", name, resp.StatusCode, resp.Close)
		}
	}
	if calls := f.taken(); len(calls) > 0 {
		t.Errorf("backend was asked %v, want nothing", calls)
	}
}

// "the call itself may take as long as it needs": reading the body sets a deadline, the call has none.
func TestBodyDeadline(t *testing.T) {
	body := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPost, "/v1/networks", strings.NewReader("{}"))
	if err := readBody(body, r); err != nil {
		t.Fatal(err)
	}
	if len(body.set) != 2 || body.set[0].IsZero() || !body.set[1].IsZero() {
		t.Errorf("read deadlines set = %v, want one and then none", body.set)
	}
}

// deadlines notes the read deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// "another meshd answers there": a live socket is refused, a dead daemon's replaced, anything else left alone.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "meshd.sock")
	live, err := Listen(path, "")
	if err != nil {
		t.Fatalf("Listen, with directories to make: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket = %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another meshd answers") || !strings.Contains(err.Error(), path) {
		t.Errorf("second Listen error = %v, want one that says so", err)
	}
	live.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	live.Close()
	again, err := Listen(path, "")
	if err != nil {
		t.Fatalf("Listen over a dead socket: %v", err)
	}
	again.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after Close: %v, want it gone", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen over a file: error = %v, want one that says so", err)
	}
	if _, err := Listen(filepath.Join(path, "x"), ""); err == nil {
		t.Error("Listen below a file succeeds")
	}
}

// "mode 0660 group `meshnet` if it exists else root only"
func TestListenGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := Listen(path, "no-such-group"); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("Listen with an unknown group: error = %v, want one that names it", err)
	}
	own := groupOfProcess(t)
	l, err := Listen(path, own)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid != uint32(os.Getegid()) {
		t.Errorf("socket of group %s = %v, %v, want mode 0660 and that group", own, info.Mode(), err)
	}
}

// groupOfProcess returns the name of this process's group.
func groupOfProcess(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-gn").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for socket, says := range map[string]string{
		filepath.Join(dir, "none"): "there is no socket", dead: "nobody listens on", filepath.Join(dir, strings.Repeat("x", 200)): "",
	} {
		_, err := NewClient(socket).Status(context.Background())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "http://") {
			t.Errorf("Status through %s: error = %v, want ErrUnreachable that says %q", filepath.Base(socket), err, says)
		}
	}
}

// What answers is not always meshd.
func TestStranger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusConflict)
		}
		fmt.Fprint(w, "<html>")
	})
	server := &http.Server{Handler: answer}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	c := NewClient(path)
	if _, err := c.Status(context.Background()); err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "is not meshd") {
		t.Errorf("Status of a stranger: error = %v, want one that says so", err)
	}
	if err := c.Leave(context.Background(), "home", false); CodeOf(err) != Conflict || !strings.Contains(err.Error(), "409 Conflict") {
		t.Errorf("Leave at a stranger: error = %v, want conflict", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("Status after cancel: error = %v, want context.Canceled", err)
	}
}

// TestCredentials runs itself again as another user: "Root alone may create, join or leave a network, read its token,
// reserve addresses, or say who keeps the registry and which hosts are in it;
// whoever may connect to the socket may look, attach and detach."
func TestCredentials(t *testing.T) {
	const key = "MESHNET_TEST_SOCKET"
	if path := os.Getenv(key); path != "" {
		checkNobody(t, NewClient(path))
		return
	}
	f := &fake{networks: []string{"home"}}
	path := serve(t, f)
	dir := filepath.Dir(filepath.Dir(path))
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // only root can become another user: then the rule itself is the test
		nobody := Credentials{UID: uint32(os.Geteuid()) + 1}
		if nobody.Administrator() || !(Credentials{UID: uint32(os.Geteuid())}).Administrator() {
			t.Error("Administrator is not this process's user alone")
		}
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCredentials$")
	cmd.Env, cmd.Dir = append(os.Environ(), key+"="+path), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
	for _, call := range f.taken() {
		switch verb, _, _ := strings.Cut(call, " "); verb {
		case "Create", "Join", "Leave", "Update", "Token", "Reserve", "Release", "Recover", "Adopt", "RemoveNode":
			t.Errorf("another user reached %s", call)
		}
	}
}

// checkNobody makes calls as a user that is not root.
func checkNobody(t *testing.T, c *Client) {
	ctx := context.Background()
	_, created := c.Create(ctx, CreateRequest{Name: "home"})
	_, joined := c.Join(ctx, JoinRequest{Token: "t"})
	_, updated := c.Update(ctx, UpdateRequest{Network: "home"})
	_, text := c.Token(ctx, "home")
	_, reserved := c.Reserve(ctx, ReserveRequest{Network: "home", Addresses: token.RangeOf(part)})
	_, released := c.Release(ctx, ReleaseRequest{Network: "home", Addresses: token.RangeOf(part)})
	_, recovered := c.Recover(ctx, "home")
	_, adopted := c.Adopt(ctx, "home")
	_, removed := c.RemoveNode(ctx, RemoveNodeRequest{Network: "home", Node: "n"})
	for call, err := range map[string]error{
		"Create": created, "Join": joined, "Leave": c.Leave(ctx, "home", false), "Update": updated, "Token": text, "Reserve": reserved, "Release": released,
		"Recover": recovered, "Adopt": adopted, "RemoveNode": removed,
	} {
		if CodeOf(err) != Forbidden {
			t.Errorf("%s as nobody: error = %v, want forbidden", call, err)
		}
	}
	_, status := c.Status(ctx)
	_, leases := c.Leases(ctx, "")
	_, names := c.DNS(ctx, "")
	_, attached := c.Attach(ctx, AttachRequest{Container: "c", IfName: "eth0"})
	_, detached := c.Detach(ctx, DetachRequest{Container: "c", IfName: "eth0"})
	_, use := c.IPAM(ctx, "")
	_, checked := c.IPAMCheck(ctx, "home")
	if err := errors.Join(status, use, checked, leases, names, attached, detached); err != nil {
		t.Errorf("what everybody on the socket may do: %v", err)
	}
}

// "Handle answers for administrators alone": whatever else may be asked of the socket, and with the API's own error.
func TestHandle(t *testing.T) {
	asked := 0
	s := NewServer(&fake{}, quiet)
	s.Handle("/debug/x", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, "extra")
	}))
	own := uint32(os.Geteuid())
	for name, row := range map[string]struct {
		from       *Credentials
		path       string
		code, asks int
	}{
		"administrator":              {&Credentials{UID: own}, "/debug/x", http.StatusOK, 1},
		"administrator, with query":  {&Credentials{UID: own}, "/debug/x?seconds=1", http.StatusOK, 1},
		"administrator, other path":  {&Credentials{UID: own}, "/debug/y", http.StatusNotFound, 0},
		"another user":               {&Credentials{UID: own + 1}, "/debug/x", http.StatusForbidden, 0},
		"no credentials":             {nil, "/debug/x", http.StatusForbidden, 0},
		"another user, for the rest": {&Credentials{UID: own + 1}, "/v1/status", http.StatusOK, 0},
	} {
		asked = 0
		r := httptest.NewRequest(http.MethodGet, row.path, nil)
		if row.from != nil {
			r = r.WithContext(WithCredentials(r.Context(), *row.from))
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		if w.Code != row.code || asked != row.asks {
			t.Errorf("%s: %s gets %d and asks the handler %d times, want %d and %d; body %s", name, row.path, w.Code, asked, row.code, row.asks, w.Body)
		}
		if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), string(Forbidden)) {
			t.Errorf("%s: body %q, want an error of the API", name, w.Body)
		}
	}
}

// A handler without a connection's credentials (no Unix socket) lets nobody change networks.
func TestNoCredentials(t *testing.T) {
	if _, ok := CredentialsFrom(withPeer(context.Background(), &net.TCPConn{})); ok {
		t.Error("a TCP connection has credentials")
	}
}

// "A Unix socket's path has at most 107 bytes."
func TestListenOnTooLongAPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("Listen(%d bytes) = %v, want an error that says how long a path may be", len(path), err)
	}
}
