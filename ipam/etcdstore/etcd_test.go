package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// patience is how long a test waits for another process.
const patience = 20 * time.Second

// member is one etcd process on loopback.
type member struct {
	endpoint string // host:port for clients
	args     []string
	dir      string
	cmd      *exec.Cmd // nil: not running
	log      *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startEtcd starts n members, which end with the test. scheme is how clients come: "http" or "https".
func startEtcd(t testing.TB, n int, scheme string, args ...string) []*member {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Fatalf("the block store in etcd is tested with the real one: install Debian's etcd-server (make deps): %v", err)
	}
	var members []*member
	var initial []string
	ports := freePorts(t, 2*n)
	for i := range n {
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i, ports[2*i+1]))
	}
	for i := range n {
		m := &member{endpoint: ports[2*i], dir: filepath.Join(t.TempDir(), "data")}
		client, peer := scheme+"://"+ports[2*i], "http://"+ports[2*i+1]
		m.args = append([]string{
			"--name", fmt.Sprintf("m%d", i), "--data-dir", m.dir, "--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(initial, ","),
			"--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap", "--log-outputs", "stderr",
		}, args...)
		members = append(members, m)
		m.start(t)
		t.Cleanup(m.kill)
	}
	return members
}

func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before all are taken, lest one is given twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func (m *member) start(t testing.TB) {
	t.Helper()
	m.log = &lockedBuffer{}
	m.cmd = exec.Command("etcd", m.args...)
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		t.Fatalf("starting etcd: %v", err)
	}
}

// kill ends the process as a power cut does.
func (m *member) kill() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.cmd.Wait() // its error only says that it was killed
		m.cmd = nil
	}
}

// address returns the members' address as people give it.
func address(t testing.TB, members []*member, options string) Address {
	t.Helper()
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, m.endpoint)
	}
	return parse(t, "etcd://"+strings.Join(hosts, ",")+options)
}

func parse(t testing.TB, text string) Address {
	t.Helper()
	a, err := ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// open returns a store that ends with the test.
func open(t testing.TB, c Config) *Store {
	t.Helper()
	c.NetworkID = [16]byte{0xaa, 15: 0xbb}
	if testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(logWriter{t}, nil)).With("node", c.Self.Short())
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// logWriter puts a log into the test's output.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// client returns etcd's own client, for what operators do.
func client(t testing.TB, m *member) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + m.endpoint}, Logger: zap.NewNop(), DialTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eventually waits until what returns nil.
func eventually(t testing.TB, what func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for err := what(); err != nil; err = what() {
		if !pause(ctx, 50*time.Millisecond) {
			t.Fatalf("after %v: %v", patience, err)
		}
	}
}

// proxy passes TCP connections on to one member and can be made to misbehave.
type proxy struct {
	endpoint string
	mu       sync.Mutex
	cut      bool // new connections are closed at once
	deaf     bool // what the member answers is swallowed
	conns    map[net.Conn]bool
}

func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{endpoint: l.Addr().String(), conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c, to) })
		}
	})
	t.Cleanup(func() { l.Close(); p.set(true, false); running.Wait() })
	return p
}

func (p *proxy) serve(near net.Conn, to string) {
	defer near.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	p.mu.Lock()
	if p.cut {
		p.mu.Unlock()
		return
	}
	p.conns[near], p.conns[far] = true, true
	p.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { p.copy(far, near, false) })
	running.Go(func() { p.copy(near, far, true) })
	running.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

func (p *proxy) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		swallow := answers && p.deaf
		p.mu.Unlock()
		if n > 0 && !swallow {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// set changes how the proxy behaves; cut also breaks the connections there are.
func (p *proxy) set(cut, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.deaf = cut, deaf
	if cut {
		for c := range p.conns {
			c.Close()
		}
	}
}

// copyDir copies what etcd keeps, as a backup of the disk would.
func copyDir(t testing.TB, to, from string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}
