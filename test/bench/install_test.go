package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A module's root is a command, too: golang.zx2c4.com/wireguard is one, github.com/slackhq/nebula has two below.
func TestHaveAll(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "wireguard"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, module string
		packages     []string
		want         bool
	}{
		{"the root is there", "example.com/wireguard", []string{""}, true},
		{"the root is missing", "example.com/other", []string{""}, false},
		{"one is missing", "example.com/x", []string{"/cmd/wireguard", "/cmd/wg"}, false},
	} {
		if got := haveAll(dir, c.module, c.packages); got != c.want {
			t.Errorf("%s: haveAll = %v, want %v", c.name, got, c.want)
		}
	}
}

// "a peer that cannot be installed is reported with the reason and does not fail the run"
func TestWithoutAPackage(t *testing.T) {
	w := &workshop{}
	_, err := w.debian("no-such-program-of-anybody", "no-such-package")
	checkError(t, "debian", err, "no-such-program-of-anybody is not installed: apt-get install no-such-package")
}
