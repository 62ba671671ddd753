package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"meshnet/test/e2e/lab"
)

// stage prints the demo and is the lab's TB: it fails by saying why, cleaning up, and exit 1.
type stage struct {
	out    *os.File
	colour bool
	scene  int
	failed bool
	ending sync.Once

	mu       sync.Mutex
	cleanups []func()
}

func newStage(out *os.File) *stage {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &stage{out: out, colour: err == nil && os.Getenv("NO_COLOR") == ""}
}

// The looks: SGR sequences of ECMA-48.
const (
	bold  = "1"
	dim   = "2"
	red   = "1;31"
	green = "32"
	cyan  = "36"
)

func (s *stage) paint(look, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}

func (s *stage) title(format string, args ...any) {
	fmt.Fprintf(s.out, "\n%s\n", s.paint(bold, fmt.Sprintf(format, args...)))
}

// act is a numbered title.
func (s *stage) act(format string, args ...any) {
	s.scene++
	s.title("%d. %s", s.scene, fmt.Sprintf(format, args...))
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// text prints lines as they are, but without those that are empty at the ends.
func (s *stage) text(lines string) { fmt.Fprintln(s.out, strings.Trim(lines, "\n")) }

// good prints what has been proved.
func (s *stage) good(format string, args ...any) {
	fmt.Fprintf(s.out, "   %s %s\n", s.paint(green, "ok"), fmt.Sprintf(format, args...))
}

// typed prints a command as its user sees it.
func (s *stage) typed(h *lab.Host, command string) {
	fmt.Fprintf(s.out, "   %s %s\n", s.paint(cyan, h.Name+"#"), command)
}

// output prints what a command answered, at most lines of it.
func (s *stage) output(text string, lines int) {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range all {
		if i == lines {
			fmt.Fprintf(s.out, "      %s\n", s.paint(dim, fmt.Sprintf("… %d lines more", len(all)-i)))
			return
		}
		fmt.Fprintf(s.out, "      %s\n", s.paint(dim, line))
	}
}

func (s *stage) Helper()      {}
func (s *stage) Failed() bool { return s.failed }

func (s *stage) Logf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// Fatalf does not return.
func (s *stage) Fatalf(format string, args ...any) {
	s.failed = true
	fmt.Fprintf(s.out, "\n%s %s\n", s.paint(red, "FAILED:"), fmt.Sprintf(format, args...))
	s.end(1)
}

func (s *stage) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "meshnet-demo-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// clean runs the cleanups, last-in first-out.
func (s *stage) clean() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}

// end cleans up and ends the process. Whoever comes second waits for that.
func (s *stage) end(code int) {
	s.ending.Do(func() {
		s.clean()
		os.Exit(code)
	})
	select {}
}
