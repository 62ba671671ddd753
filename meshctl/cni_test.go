package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
)

// What is written is what libcni reads, for each runtime and chain.
func TestConflist(t *testing.T) {
	var all strings.Builder
	for _, line := range []string{"", "--kubernetes --chain portmap --gateway 10.77.0.1,fd00::1", "--podman --name pods --mtu 1400",
		"--containerd --chain bandwidth,tuning,sbr,firewall", "--socket /tmp/s"} {
		code, stdout, stderr := meshctl("", "cni config home --dir - --plugins "+t.TempDir()+" "+line)
		if code != exitDone || stderr != "" {
			t.Errorf("meshctl cni config home %s: exit %d, stderr %q", line, code, stderr)
		}
		if _, err := libcni.ConfListFromBytes([]byte(stdout)); err != nil {
			t.Errorf("libcni reads %s: %v", stdout, err)
		}
		all.WriteString("$ meshctl cni config home --dir - " + line + "\n" + stdout + "\n")
	}
	golden(t, "conflist.txt", all.String())
}

// Version 1.1.0 is there if all plugins of the chain say that they know it.
func TestConflistVersions(t *testing.T) {
	dir := t.TempDir()
	for name, versions := range map[string]string{"portmap": `"1.0.0","1.1.0"`, "tuning": `"0.4.0","1.0.0"`} {
		script := "#!/bin/sh\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[" + versions + "]}'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for chain, want := range map[string]string{"portmap": "1.1.0", "tuning": "1.0.0", "portmap,tuning": "1.0.0", "sbr": "1.0.0"} {
		_, stdout, _ := meshctl("", "cni config home --dir - --plugins "+dir+" --chain "+chain)
		list, err := libcni.ConfListFromBytes([]byte(stdout))
		if err != nil || list.CNIVersion != want {
			t.Errorf("chain %s: version %v, %v, want %s", chain, list, err, want)
		}
	}
}

func TestConflistFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net.d")
	config := func(more string) (int, string, string) { return meshctl("", "cni config home --dir "+dir+" "+more) }
	path := filepath.Join(dir, "10-home.conflist")
	for range 2 { // its own file it replaces
		if code, stdout, stderr := config(""); code != exitDone || stdout != path+"\n" || stderr != "" {
			t.Fatalf("exit %d, stdout %q, stderr %q, want the path", code, stdout, stderr)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the directory has %v, %v, want one file", list, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v, want mode 0644", info, err)
	}
	foreign := filepath.Join(dir, "05-other.conf")
	if err := os.WriteFile(foreign, []byte(`{"name":"home","type":"bridge"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := config(""); code != exitFailed || !strings.Contains(stderr, foreign+" is for a CNI network called home already") {
		t.Errorf("another file of that name: exit %d, stderr %q", code, stderr)
	}
	if code, _, stderr := config("--kubernetes --name mesh"); code != exitDone || !strings.Contains(stderr, "Kubernetes will use "+foreign) {
		t.Errorf("a file that comes before: exit %d, stderr %q, want a warning", code, stderr)
	}
	for _, text := range []string{`{"name":"x","plugins":[{"type":"bridge"}]}`, "", "not JSON"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := config("--name mesh"); code != exitFailed || !strings.Contains(stderr, "is not a configuration for cni-meshnet") {
			t.Errorf("foreign file %q: exit %d, stderr %q", text, code, stderr)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("the foreign file is now %q, %v", got, err)
		}
	}
	if code, _, stderr := config("--name mesh --force"); code != exitDone || stderr != "" {
		t.Errorf("--force: exit %d, stderr %q", code, stderr)
	}
	if text, err := os.ReadFile(path); err != nil || !json.Valid(text) || !isOurs(text) {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

func TestConflistUsage(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"", "NETWORK is missing"},
		{"Home", "capital letter"},
		{"home other", "too much"},
		{"home --podman --kubernetes", "exclude each other"},
		{"home --chain vlan", `"vlan" is none of portmap`},
		{"home --chain portmap,portmap", "portmap is there twice"},
		{"home --gateway x", `"x" is not an address`},
		{"home --gateway 10.0.0.1,10.0.0.2", "several of one family"},
		{"home --mtu 5", "MTU 5"},
		{"home --name a/b", `"a/b" is not the name of a CNI network`},
		{"home --dir -x", `"-x" is not a directory`},
	} {
		code, stdout, stderr := meshctl("", "cni config "+row.line)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, row.want) {
			t.Errorf("meshctl cni config %s: exit %d, stdout %q, stderr %q; want a usage error with %q", row.line, code, stdout, stderr, row.want)
		}
	}
}

func TestCNIInstall(t *testing.T) {
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "cni", "bin")
	install := "cni install --from " + from + " --dir " + dir
	if code, _, stderr := meshctl("", install); code != exitFailed || !strings.Contains(stderr, "are not both in "+from) {
		t.Errorf("without plugins: exit %d, stderr %q", code, stderr)
	}
	for _, name := range cniPlugins {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		code, stdout, stderr := meshctl("", install)
		var want string
		for _, name := range cniPlugins {
			want += filepath.Join(dir, name) + "\n"
		}
		if code != exitDone || stdout != want || stderr != "" {
			t.Fatalf("exit %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
		}
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v, want mode 0755", e.Name(), info, err)
		}
	}
	if err != nil || !slices.Equal(names, cniPlugins) {
		t.Errorf("installed %v, %v, want %v", names, err, cniPlugins)
	}
	if code, _, stderr := meshctl("", "cni install --from "+dir+" --dir "+dir); code != exitDone || stderr != "" {
		t.Errorf("onto itself: exit %d, stderr %q", code, stderr)
	}
	if text, err := os.ReadFile(filepath.Join(dir, cniPlugins[0])); err != nil || string(text) != cniPlugins[0] {
		t.Errorf("onto itself: %q, %v", text, err)
	}
}

// Who leaves a network is told which configurations still put containers on it; who writes one for a network that the host is not in,
// that.
func TestConflistsOfNetworksThatAreNotThere(t *testing.T) {
	start(t, new(daemon))
	dir := t.TempDir()
	code, _, stderr := meshctl("", "cni config home --dir "+dir)
	if code != exitDone || stderr != "" {
		t.Errorf("for home: exit %d, stderr %q", code, stderr)
	}
	if code, _, stderr := meshctl("", "cni config hoem --dir "+dir); code != exitDone || !strings.Contains(stderr, "this host is not in network hoem yet") {
		t.Errorf("for hoem: exit %d, stderr %q", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "99-broken.conflist"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := meshctl("", "network leave home --cni-dir "+dir)
	if want := dir + "/10-home.conflist puts containers on home: they do not start any more; remove it\n"; code != exitDone || stdout != "left home\n" || stderr != want {
		t.Errorf("leave: exit %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
	}
}
