package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(file, []byte("listn = [\":7000\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		says string // on stdout for code 0, else on stderr
	}{
		{"help", []string{"--help"}, exitDone, "--listen ADDR:PORT"},
		{"version", []string{"--version"}, exitDone, "meshd devel"},
		{"unknown flag", []string{"--listne", ":7000"}, exitUsage, "there is no flag --listne; see meshd --help"},
		{"unknown flag with one dash", []string{"-x=1", "start"}, exitUsage, "there is no flag -x;"},
		{"no value", []string{"--state"}, exitUsage, "--state needs a value"},
		{"value too much", []string{"--version=2", "start"}, exitUsage, "--version takes no value"},
		{"three dashes", []string{"---state", "x"}, exitUsage, "bad flag syntax: ---state"},
		{"argument too much", []string{"start"}, exitUsage, `"start"`},
		{"bad name", []string{"--name", "a b"}, exitUsage, "--name: node name \"a b\""},
		{"no offload", []string{"--without", "gso"}, exitUsage, `--without: "gso" is no offload; there are tap-checksum,`},
		{"bad level", []string{"--log-level", "loud"}, exitUsage, `--log-level: "loud" is not`},
		{"no file", []string{"--config", "/nonexistent"}, exitUsage, "/nonexistent"},
		{"bad file", []string{"--config", file}, exitUsage, "listn"},
		{"listen without port", []string{"--listen", "foo"}, exitUsage, `--listen: "foo" is not ADDR:PORT`},
		{"listen on a name", []string{"--listen", "example.org:7000"}, exitUsage, "example.org"},
		{"state is a file", []string{"--state", file, "--listen", "127.0.0.1:0"}, exitFailed, file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("run(%q) = %d, want %d", tt.args, code, tt.code)
			}
			out := stderr.String()
			if tt.code == exitDone {
				out = stdout.String()
			}
			if !strings.Contains(out, tt.says) {
				t.Errorf("run(%q) says %q, want something with %q", tt.args, out, tt.says)
			}
		})
	}
}

// "What the command line says too is taken from there."
func TestCommandLineWins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meshd.toml")
	text := "name = \"fromfile\"\nlisten = [\":1\"]\nsocket = \"/file.sock\"\nlog_level = \"debug\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	opts, err := parseOptions([]string{"--config", file, "--name", "line", "--listen", ":2", "--listen", ":3", "--no-relay"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Name != "line" || !slices.Equal(opts.Listen, []string{":2", ":3"}) || opts.Socket != "/file.sock" || opts.LogLevel >= 0 || opts.Relay {
		t.Errorf("options = %+v, want name, listen and no relay of the command line, socket and level of the file", opts)
	}
}
