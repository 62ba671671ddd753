package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Result is what a command left behind. Code is its exit code, or -1 if a signal ended it.
type Result struct {
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// Process is a command in the background.
type Process struct {
	Out, Err *Buffer
	cmd      *exec.Cmd
	done     chan struct{} // closed when the process has ended and been waited for
}

// start runs args in ns. A program that lies in bin is taken from there.
func start(ctx context.Context, ns *namespace, bin string, env []string, input string, args ...string) (*Process, error) {
	program := args[0]
	if own := filepath.Join(bin, program); !strings.Contains(program, "/") && isFile(own) {
		program = own
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	p := &Process{Out: new(Buffer), Err: new(Buffer), cmd: cmd, done: make(chan struct{})}
	cmd.Args[0] = args[0]
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = p.Out, p.Err
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	cmd.WaitDelay = time.Second // a daemon that the command left behind may hold its output open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ns.do(all, cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// try runs args in ns to its end, 30 s at most.
func (l *Lab) try(ns *namespace, input string, args ...string) Result {
	l.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	began := time.Now()
	env := (&Host{lab: l, Dir: filepath.Join(l.dir, ns.name)}).environment()
	p, err := start(ctx, ns, l.bin, env, input, args...)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		l.tb.Fatalf("%s: %v (`make deps` installs what the lab needs)", ns.name, err)
	}
	if err != nil {
		l.tb.Fatalf("%s: %v", ns.name, err)
	}
	<-p.done
	r := Result{Stdout: p.Out.String(), Stderr: p.Err.String(), Code: p.Code(), Took: time.Since(began)}
	if ctx.Err() != nil {
		r.Stderr += "\n(killed after 30 s)"
	}
	return r
}

// Pid returns the process's id on the real machine.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends sig to this one process.
func (p *Process) Signal(sig os.Signal) { p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Code returns the exit code, or -1 while it runs or after a signal.
func (p *Process) Code() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Ended waits for the process to end, and says whether it did.
func (p *Process) Ended(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

// Buffer is a bytes.Buffer that may be read while a process writes to it.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
