package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// onOwnThread calls f on an OS thread that nothing else uses before or after.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		result <- f()
	}()
	return <-result
}

// output runs a command to its end; the error says what it complained about.
func output(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLines(string(out), 3))
	}
	return nil
}
