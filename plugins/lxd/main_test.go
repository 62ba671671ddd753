package main

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// "0 done; 2 wrong usage; 3 meshd or LXD is not reachable": what went wrong is one line on stderr, and stdout is empty then.
func TestExitCodes(t *testing.T) {
	nowhere := "--lxd-socket " + filepath.Join(t.TempDir(), "unix.socket")
	rows := []struct {
		line string
		code int
		says string
	}{
		{"--help", exitDone, ""}, {"setup --help", exitDone, ""}, {"run -h", exitDone, ""}, {"--version", exitDone, ""},
		{"", exitUsage, "a command is missing: setup, remove or run"},
		{"hello", exitUsage, `unknown command "hello"`},
		{"setup", exitUsage, "setup: the name of the network is missing"},
		{"remove", exitUsage, "remove: the name of the network is missing"},
		{"setup Prod", exitUsage, "capital letter"},
		{"setup prod more", exitUsage, `"more" is an argument too much`},
		{"run prod", exitUsage, `run: "prod" is an argument too much`},
		{"remove prod --name x", exitUsage, "remove has no option --name"},
		{"setup prod --nmae x", exitUsage, "-nmae"},
		{nowhere + " setup prod", exitUnreachable, "is LXD running?"},
		{"remove prod " + nowhere, exitUnreachable, "is LXD running?"},
	}
	for _, row := range rows {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(row.line), &stdout, &stderr)
		if code != row.code || !strings.Contains(stderr.String(), row.says) {
			t.Errorf("meshnet-lxd %s: exit %d, stderr %q; want %d, %q", row.line, code, stderr.String(), row.code, row.says)
		}
		if code == exitDone && stderr.Len() > 0 || code != exitDone && (stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1) {
			t.Errorf("meshnet-lxd %s: stdout %q, stderr %q", row.line, stdout.String(), stderr.String())
		}
	}
}

// The manual page names everything that there is, in lines that fit a terminal.
func TestHelp(t *testing.T) {
	for _, word := range []string{"setup NETWORK [--name NAME]", "remove NETWORK", "run", "--socket", "--lxd-socket", "--version", keyOwnIPv4, keyOwnIPv6,
		defaultSockets[0], defaultSockets[1], "AGPL-3.0", "EXIT STATUS"} {
		if !strings.Contains(help, word) {
			t.Errorf("the help does not say %q", word)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 84 {
			t.Errorf("the line %q has %d characters", line, len(line))
		}
	}
}

// "/var/snap/lxd/common/lxd/unix.socket if it is there, else /var/lib/lxd/unix.socket".
func TestLXDSocket(t *testing.T) {
	snap, debian := defaultSockets[0], defaultSockets[1]
	rows := []struct {
		name, asked string
		there       map[string]error // what stat says; missing: nil
		want        string
	}{
		{"asked for", "/run/x", nil, "/run/x"},
		{"both", "", nil, snap},
		{"Debian's", "", map[string]error{snap: fs.ErrNotExist}, debian},
		{"one that must not be looked at says why itself", "", map[string]error{snap: fs.ErrPermission}, snap},
		{"none", "", map[string]error{snap: fs.ErrNotExist, debian: fs.ErrNotExist}, ""},
	}
	for _, row := range rows {
		got, err := lxdSocket(row.asked, func(path string) (fs.FileInfo, error) { return nil, row.there[path] })
		if got != row.want || (err != nil) != (row.want == "") || err != nil && !errors.Is(err, errNoLXD) {
			t.Errorf("%s: lxdSocket = %q, %v, want %q", row.name, got, err, row.want)
		}
	}
}

// Only what can change interfaces wakes: an instance that is used a lot would make LXD list all of them all the time.
func TestMatters(t *testing.T) {
	for action, want := range map[string]bool{
		"instance-created": true, "instance-renamed": true, "instance-updated": true, "instance-deleted": true, "network-updated": true, "profile-updated": true,
		"project-updated": true, "instance-exec": false, "instance-file-pushed": false, "instance-snapshot-created": false, "instance-log-retrieved": false,
		"image-created": false, "storage-pool-created": false, "": false,
	} {
		if got := matters(action); got != want {
			t.Errorf("matters(%q) = %v, want %v", action, got, want)
		}
	}
}
