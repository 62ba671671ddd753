package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshnet/meshd/session"
	"meshnet/meshd/token"
)

func openTest(t *testing.T) *State {
	t.Helper()
	s, err := OpenState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func settings(t *testing.T, name string) Settings {
	t.Helper()
	identity, err := session.NewIdentity(nil)
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Name: name, NetworkID: [16]byte{1}, PSK: [32]byte{2}, MTU: 1500, IPv6: netip.MustParsePrefix("fd00:1::/48"),
		Bridge: "mesh0", BridgeOwned: true, Advertise: []string{"a:1"}, Seeds: []string{"b:1", "c:1"}, NodeName: "web-1",
		Created: true, Identity: identity, LastInstance: 1<<63 + 1,
		Pools: []token.Pool{
			{Prefix: token.DefaultPool(), BlockBits: 26, Gateway: netip.MustParseAddr("10.77.0.1"), Exclude: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}},
			{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		},
		DeadAfter: token.Duration(24 * time.Hour),
		IPAM:      token.IPAM{Endpoints: []string{"e:1"}, Prefix: "/x/", TLS: true, User: "u", Password: "p@/", CA: "/ca", Cert: "/c", Key: "/k"},
	}
}

func save(t *testing.T, s *State, n Settings) {
	t.Helper()
	if err := s.Save(n); err != nil {
		t.Fatal(err)
	}
}

func TestSaveLoad(t *testing.T) {
	s := openTest(t)
	b, a := settings(t, "b"), settings(t, "a")
	b.Advertise, b.Seeds, b.Pools, b.IPAM = nil, nil, nil, token.IPAM{}
	for _, n := range []Settings{b, a} {
		save(t, s, n)
		if got, err := s.Load(n.Name); err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("Load(%s) = %+v, %v\nwant %+v", n.Name, got, err, n)
		}
	}
	a.LastInstance++
	save(t, s, a)
	if got, err := s.List(); err != nil || !reflect.DeepEqual(got, []Settings{a, b}) {
		t.Errorf("List() = %+v, %v\nwant a and b", got, err)
	}
	if err := errors.Join(s.Remove("a"), s.Remove("a"), s.Remove("never")); err != nil {
		t.Errorf("Remove error = %v", err)
	}
	if got, err := s.List(); err != nil || len(got) != 1 {
		t.Errorf("List() after Remove(a) = %+v, %v, want b", got, err)
	}
	if _, err := s.Load("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load(a) after Remove error = %v, want ErrNotExist", err)
	}
}

// "0600 in 0700 directories"
func TestModes(t *testing.T) {
	s := openTest(t)
	save(t, s, settings(t, "a"))
	for path, want := range map[string]fs.FileMode{
		s.dir: 0o700, filepath.Join(s.dir, "networks"): 0o700, s.NetworkDir("a"): 0o700, s.settingsPath("a"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, %v, want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// "never silently start afresh": each kind of damage is named, with the file and the way out.
func TestLoadCorrupt(t *testing.T) {
	s := openTest(t)
	save(t, s, settings(t, "a"))
	good, err := os.ReadFile(s.settingsPath("a"))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("network.json has no %s:\n%s", old, good)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, tt := range []struct{ name, text, says string }{
		{"empty", "", "damaged"},
		{"cut", string(good[:len(good)/2]), "damaged"},
		{"zeros", strings.Repeat("\x00", len(good)), "damaged"},
		{"no version", replace(`"version": 1`, `"version": 0`), "no version"},
		{"another network's", replace(`"name": "a"`, `"name": "b"`), `of network "b"`},
		{"unknown field", replace(`"mtu"`, `"mtv"`), "mtv"},
		{"short key", replace(`"psk": "02`, `"psk": "`), "psk has 31 bytes"},
		{"not hexadecimal", replace(`"psk": "02`, `"psk": "0x`), "damaged"},
		{"no key", replace(`"psk": "02`, `"psk": "00`), "all zeros"},
		{"bad prefix", replace(`fd00:1::/48`, `fd00:1::/148`), "ipv6"},
		{"bad MTU", replace(`"mtu": 1500`, `"mtu": 15`), "MTU 15"},
		{"bad dhcp", replace(`"bridge_owned"`, `"dhcp": "on", "bridge_owned"`), `dhcp: "on"`},
		{"bad egress", replace(`"bridge_owned"`, `"egress": "on", "bridge_owned"`), `egress: "on"`},
		{"bad bridge", replace(`"bridge": "mesh0"`, `"bridge": ""`), "bridge"},
		{"bad pool", replace(`"prefix": "192.0.2.0/24"`, `"prefix": "192.0.2.1/24"`), "did you mean 192.0.2.0/24"},
		{"overlapping pools", replace(`192.0.2.0/24`, `10.77.4.0/24`), "overlap"},
		{"bad engine", replace(`"ipam": "etcds`, `"ipam": "consul`), "ipam: it is neither"},
		{"bad seed", replace(`"b:1"`, `"b"`), "endpoint"},
	} {
		if err := os.WriteFile(s.settingsPath("a"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load("a")
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Load error = %v, want ErrCorrupt", tt.name, err)
			continue
		}
		for _, says := range []string{tt.says, s.settingsPath("a"), "restore it from a backup"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: Load error = %v, want one that says %q", tt.name, err, says)
			}
		}
	}

	later := replace(`"version": 1`, `"version": 2, "more": 1`)
	if err := os.WriteFile(s.settingsPath("a"), []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	save(t, s, settings(t, "b"))
	list, err := s.List()
	if err == nil || !strings.Contains(err.Error(), "upgrade this host") || len(list) != 1 || list[0].Name != "b" {
		t.Errorf("List with a file of a later version = %+v, %v, want b and an error", list, err)
	}
}

// A crash in Save before the rename leaves no network; a network whose file was lost is damage.
func TestListLeftovers(t *testing.T) {
	s := openTest(t)
	dir := s.NetworkDir("a")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "network.json.tmp"), []byte("{"), 0o600),
		os.Mkdir(filepath.Join(s.dir, "networks", "lost+found"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("List() after a crash in the first Save = %+v, %v, want none", list, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "leases"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List() with leases but no network.json: error = %v, want ErrNotExist", err)
	}
}

// "If it fails, what was saved before is still there."
func TestSaveDiskFull(t *testing.T) {
	s := openTest(t)
	n := settings(t, "a")
	save(t, s, n)
	if err := os.Symlink("/dev/full", s.settingsPath("a")+temporary); err != nil {
		t.Fatal(err)
	}
	changed := n
	changed.Bridge = "other"
	if err := s.Save(changed); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("Save on a full disk: error = %v, want ENOSPC and the way out", err)
	}
	if got, err := s.Load("a"); err != nil || !reflect.DeepEqual(got, n) {
		t.Errorf("Load after a failed Save = %+v, %v\nwant %+v", got, err, n)
	}
	save(t, s, changed) // and it works again
}

func TestSaveBad(t *testing.T) {
	s := openTest(t)
	n := settings(t, "a")
	n.Identity = session.Identity{}
	if err := s.Save(n); err == nil {
		t.Error("Save without an identity succeeds")
	}
	if _, err := s.Load("../a"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load(../a) error = %v, want one about the name", err)
	}
}

// "two meshd never share a state directory"
func TestOpenStateTwice(t *testing.T) {
	s := openTest(t)
	if _, err := OpenState(s.dir); err == nil || !strings.Contains(err.Error(), "another meshd uses it (pid ") {
		t.Errorf("second OpenState error = %v, want one that names the other", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(s.dir)
	if err != nil {
		t.Fatalf("OpenState after Close error = %v", err)
	}
	again.Close()
}

// Removal that a crash interrupted is finished.
func TestOpenStateFinishesRemove(t *testing.T) {
	s := openTest(t)
	save(t, s, settings(t, "a"))
	gone := filepath.Join(s.dir, "networks", removed+"a")
	if err := errors.Join(os.Rename(s.NetworkDir("a"), gone), s.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(%s) error = %v, want ErrNotExist", gone, err)
	}
}

// TestOpenStateUnwritable runs itself again as a user who may not write.
func TestOpenStateUnwritable(t *testing.T) {
	const key = "MESHNET_TEST_STATE"
	if dir := os.Getenv(key); dir != "" {
		if _, err := OpenState(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run meshd as root") {
			t.Errorf("OpenState(%s) error = %v, want ErrPermission and the way out", dir, err)
		}
		return
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenStateUnwritable$")
	cmd.Env = append(os.Environ(), key+"="+filepath.Join(dir, "state"))
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

func TestPeers(t *testing.T) {
	s := openTest(t)
	save(t, s, settings(t, "a"))
	if got, err := s.LoadPeers("a"); got != nil || err != nil {
		t.Errorf("LoadPeers before SavePeers = %v, %v, want none", got, err)
	}
	peers := []Peer{{
		ID: session.NodeID{1, 2}, Name: "web-2", Seen: time.Unix(1700000000, 0).UTC(),
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7000"), netip.MustParseAddrPort("[2001:db8::1]:1")},
	}}
	if err := s.SavePeers("a", peers); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadPeers("a"); err != nil || !reflect.DeepEqual(got, peers) {
		t.Errorf("LoadPeers = %+v, %v\nwant %+v", got, err, peers)
	}
	if err := os.WriteFile(s.peersPath("a"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadPeers("a"); err == nil || got != nil {
		t.Errorf("LoadPeers of a damaged file = %v, %v, want an error", got, err)
	}
}
