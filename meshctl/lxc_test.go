package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lxcHost is the files of a host with containers web and db, and lxc-hook.
type lxcHost struct {
	t   *testing.T
	dir string
}

const lxcNet = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n"

func newLXCHost(t *testing.T) lxcHost {
	h := lxcHost{t, t.TempDir()}
	h.write("lxc/web/config", lxcNet+"lxc.uts.name = web\n", 0o640)
	h.write("lxc/db/config", "lxc.uts.name = db\n", 0o640)
	h.write("default.conf", lxcNet, 0o644)
	h.write("lxc-hook", "#!/bin/sh\n", 0o755)
	return h
}

func (h lxcHost) write(name, text string, mode os.FileMode) {
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

func (h lxcHost) read(name string) string {
	b, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// run runs meshctl lxc, with the host's directory written as /h in what it prints.
func (h lxcHost) run(line string) (code int, stdout, stderr string) {
	line += " --lxcpath " + h.dir + "/lxc --default-file " + h.dir + "/default.conf"
	if strings.HasPrefix(line, "enable") && !strings.Contains(line, "--hook") {
		line += " --hook " + h.dir + "/lxc-hook"
	}
	code, stdout, stderr = meshctl("", "lxc "+line)
	return code, strings.ReplaceAll(stdout, h.dir, "/h"), strings.ReplaceAll(stderr, h.dir, "/h")
}

// What is printed is what is written; "meshctl lxc disable" undoes it.
func TestLXCEnableAndDisable(t *testing.T) {
	h := newLXCHost(t)
	var all strings.Builder
	for _, line := range []string{
		"enable home web --dry-run", "enable home web db", "enable home web db", "enable home web --only", "enable other db --ipv4 10.77.0.9",
		"enable home --default --only", "disable db", "disable --all --default", "disable --all --default",
	} {
		code, stdout, stderr := h.run(line)
		if code != exitDone || stderr != "" {
			t.Errorf("meshctl lxc %s: exit %d, stderr %q", line, code, stderr)
		}
		all.WriteString("$ meshctl lxc " + line + "\n" + stdout + "\n")
		if web := h.read("lxc/web/config"); line == "enable home web --dry-run" && web != lxcNet+"lxc.uts.name = web\n" {
			t.Errorf("--dry-run has written %q", web)
		}
	}
	golden(t, "lxc.txt", all.String())
	if web, db, def := h.read("lxc/web/config"), h.read("lxc/db/config"), h.read("default.conf"); web != lxcNet+"lxc.uts.name = web\n" ||
		db != "lxc.uts.name = db\n" || def != lxcNet {
		t.Errorf("after all was disabled: %q, %q, %q", web, db, def)
	}
	if info, err := os.Stat(h.dir + "/lxc/web/config"); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v, %v, want 0640", info.Mode(), err)
	}
	if left, err := filepath.Glob(h.dir + "/lxc/*/.*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// One container that cannot be changed keeps all from being changed.
func TestLXCEnableErrors(t *testing.T) {
	for _, test := range []struct {
		line string
		code int
		want string
	}{
		{"enable home", exitUsage, "no container is named; say which, or --all, or --default"},
		{"enable home web nobody", exitFailed, "/h/lxc/nobody/config: there is no such container or file"},
		{"enable home web host", exitFailed, "/h/lxc/host/config: the container shares the host's network"},
		{"enable home web hand", exitFailed, "/h/lxc/hand/config: lxc-hook is in the configuration already, written by hand"},
		{"enable home ../web", exitUsage, `"../web" is not the name of a container`},
		{"enable home web --all", exitUsage, "--all, and the container web"},
		{"enable home web db --ipv4 10.77.0.9", exitUsage, "10.77.0.9 can be one container's only"},
		{"enable home web --ipv4 fd00::1", exitUsage, `"fd00::1" is no IPv4 address`},
		{"enable home web --hook /nonexistent/lxc-hook", exitFailed, "there is no program /nonexistent/lxc-hook: install lxc-hook"},
		{"enable home/x web", exitUsage, "home/x"},
		{"disable", exitUsage, "no container is named"},
		{"disable nobody", exitFailed, "there is no such container"},
	} {
		h := newLXCHost(t)
		h.write("lxc/host/config", "lxc.net.0.type = none\n", 0o640)
		h.write("lxc/hand/config", "lxc.hook.start-host = /usr/local/bin/lxc-hook\n", 0o640)
		before := h.read("lxc/web/config")
		code, _, stderr := h.run(test.line)
		if code != test.code || !strings.Contains(stderr, test.want) {
			t.Errorf("meshctl lxc %s: exit %d, stderr %q, want %d and %q", test.line, code, stderr, test.code, test.want)
		}
		if after := h.read("lxc/web/config"); after != before {
			t.Errorf("meshctl lxc %s has written %q", test.line, after)
		}
	}
}
