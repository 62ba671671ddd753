package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// stage is a lab.TB: what fails in it ends one measurement, not the run.
type stage struct {
	cleanups []func()
	failed   bool
	log      []string
}

// failure is what Fatalf throws and perform catches.
type failure string

// perform calls f with a stage, undoes all that f made, and returns what failed.
func perform(f func(tb *stage)) (err error) {
	s := new(stage)
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				s.clean()
				panic(r)
			}
			err = fmt.Errorf("%s", string(f))
		}
		s.clean()
		if err != nil && len(s.log) > 0 {
			err = fmt.Errorf("%w\n%s", err, strings.Join(s.log, "\n"))
		}
	}()
	f(s)
	return nil
}

func (s *stage) clean() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = slices.Delete(s.cleanups, last, last+1)
		f()
	}
}

// Helper implements lab.TB.
func (s *stage) Helper() {}

// Fatalf implements lab.TB.
func (s *stage) Fatalf(format string, args ...any) {
	s.failed = true
	panic(failure(fmt.Sprintf(format, args...)))
}

// Logf implements lab.TB.
func (s *stage) Logf(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

// Failed implements lab.TB.
func (s *stage) Failed() bool { return s.failed }

// Cleanup implements lab.TB.
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// TempDir implements lab.TB.
func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "meshnet-bench-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
