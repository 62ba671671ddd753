package main

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"meshnet/meshd/api"
)

// "exit codes: 0 done, 1 failed, 2 wrong usage, 3 meshd not reachable"; what went wrong is one line on stderr, and stdout is
// empty then.
func TestExitCodes(t *testing.T) {
	start(t, new(daemon))
	dir := t.TempDir()
	public := filepath.Join(dir, "public")
	if err := os.WriteFile(public, []byte(home.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	nowhere := " --socket " + filepath.Join(dir, "nowhere")
	for _, tt := range []struct {
		line string
		code int
		says string
	}{
		{"", exitDone, ""}, {"help", exitDone, ""}, {"--help", exitDone, ""}, {"help network join", exitDone, ""},
		{"status", exitDone, ""}, {"peers home", exitDone, ""}, {"leases", exitDone, ""}, {"dns", exitDone, ""}, {"dns home", exitDone, ""}, {"network list", exitDone, ""},
		{"network token home", exitDone, ""}, {"network leave home", exitDone, ""}, {"network set home --bridge br0", exitDone, ""},
		{"network set home --bridge= --dhcp= --egress nat", exitDone, ""}, {"version", exitDone, ""}, {"genkey", exitDone, ""},
		{"--version", exitDone, ""},
		{"completion bash", exitDone, ""}, {"completion zsh", exitDone, ""}, {"completion fish", exitDone, ""},
		{"completion powershell", exitDone, ""},

		{"ipam show", exitDone, ""}, {"ipam show home", exitDone, ""}, {"ipam check", exitDone, ""}, {"ipam recover home", exitDone, ""},
		{"ipam reserve 10.77.0.0/28", exitDone, ""}, {"node remove db-1 --force", exitDone, ""},

		{"ipam check nope", exitFailed, `network nope: there is no network "nope"`}, {"ipam recover Home", exitFailed, "capital letter"},
		{"node remove db-1 home", exitFailed, "db-1 is up"}, {"network create a --ipam-file /nope", exitFailed, "reading the URL of etcd"},
		{"network create a --ipam-file " + public, exitFailed, "every user can read it"},
		{"network show nope", exitFailed, `there is no network "nope"`},
		{"network join hello", exitFailed, "not a meshnet token"},
		{"network join " + home.String()[:50], exitFailed, "truncated"},
		{"network join --token-file /nope", exitFailed, "reading the token: open /nope"},
		{"network join --token-file " + public, exitFailed, "every user can read it"},
		{"network join --token-file /dev/null", exitFailed, "the token file is empty"},
		{"network join --token-file -", exitFailed, "the token file is empty"},
		{"network create home --psk-file /nope", exitFailed, "reading the PSK"},
		{"network create home --psk-file /dev/null", exitFailed, "the PSK is empty"},
		{"network create home --psk-file -", exitFailed, "the PSK is empty"},
		{"attach --netns /nope --container c", exitFailed, "attaching c/eth0: "},
		{"attach --netns /proc/self/ns/net --container c home", exitFailed, "attaching c/"},
		{"import /nope", exitFailed, "/nope"},
		{"import " + public, exitFailed, "line 1: PeerVPN has no option"},

		{"hello", exitUsage, `unknown command "hello"; see meshctl --help`},
		{"sttus", exitUsage, `unknown command "sttus"; did you mean status? see meshctl --help`},
		{"network craete", exitUsage, `unknown command "craete"; did you mean create? see meshctl network --help`},
		{"status extra", exitUsage, `"extra" is an argument too much; usage: meshctl status`},
		{"status --nope", exitUsage, "unknown flag: --nope; see meshctl status --help"},
		{"network", exitUsage, "needs a command"}, {"network nope", exitUsage, "nope"},
		{"network create", exitUsage, "usage: meshctl network create NAME"}, {"network create", exitUsage, "NAME is missing"},
		{"network create a b", exitUsage, `"b" is an argument too much`},
		{"network create Home", exitUsage, "capital letter"},
		{"network create a --mtu big", exitUsage, `invalid argument "big" for "--mtu" flag: it is not a whole number; see`},
		{"network create a --mtu 9999999999999999999", exitUsage, "it is too large"},
		{"attach --pid abc", exitUsage, `invalid argument "abc" for "--pid" flag: it is not a whole number`},
		{"status --json=no", exitUsage, `invalid argument "no" for "--json" flag: it is not true or false`},
		{"network create a --psk-file=", exitUsage, "--psk-file: the name of the file is empty"},
		{"network create a --endpoint foo", exitUsage, `--endpoint: endpoint "foo" is not HOST:PORT`},
		{"network create a --bridge twenty-three-characters", exitUsage, "--bridge: interface name"},
		{"network join " + home.String() + " --endpoint foo", exitUsage, "--endpoint"},
		{"network join " + home.String() + " --bridge a/b", exitUsage, "--bridge"},
		{"network token home --endpoint foo", exitUsage, "--endpoint"},
		{"network join tok en", exitUsage, "a token is one argument"}, {"network show Nope", exitUsage, "capital letter"},
		{"peers Nope b", exitUsage, "capital letter"},
		{"network create a --mtu 0", exitUsage, "MTU 0"}, {"network create a --ipv6 x", exitUsage, "--ipv6"},
		{"network create a --ipv6 fd00::/80", exitUsage, "--ipv6"},
		{"network create a --ipv4 10.0.0.0/8", exitUsage, "say --pool"}, {"network create a --ipv4 none --pool 10.0.0.0/8", exitUsage, "neither pools nor ipam"},
		{"network create a --pool 10.0.0.1/8", exitUsage, "did you mean 10.0.0.0/8"}, {"network create a --pool x", exitUsage, "--pool: \"x\" is not"},
		{"network create a --block-bits 32", exitUsage, "cannot be cut"}, {"network create a --exclude 10.0.0.1", exitUsage, "not in a pool"},
		{"network create a --ipam consul", exitUsage, "--ipam: it is neither"}, {"network create a --ipam raft --ipam-file x", exitUsage, "give one"},
		{"network join x --ipam etcd://", exitUsage, "--ipam: etcd"},
		{"ipam", exitUsage, "needs a command"}, {"ipam nope", exitUsage, "nope"}, {"node", exitUsage, "needs a command"},
		{"ipam reserve", exitUsage, "ADDRESSES is missing"}, {"ipam reserve fd00::/64", exitUsage, "neither an IPv4"}, {"ipam release 10.0.0.1/8", exitUsage, "did you mean"},
		{"ipam recover", exitUsage, "NAME is missing"}, {"ipam adopt", exitUsage, "NAME is missing"}, {"node remove", exitUsage, "HOST is missing"},
		{"node remove -- -a", exitUsage, "node name"},
		{"attach --netns /x --container c --ip fd00::1", exitUsage, "not an IPv4 address"}, {"attach --netns /x --container c --ip x", exitUsage, "--ip"},
		{"attach --netns /x --container c --ip 10.0.0.1 --ipv4 none", exitUsage, "contradict"}, {"attach --netns /x --container c --ipv4 10.0.0.1", exitUsage, "--ip"},
		{"network join", exitUsage, "either TOKEN or --token-file"}, {"network join x --token-file y", exitUsage, "either"},
		{"network show", exitUsage, "NAME is missing"}, {"network token", exitUsage, "NAME is"}, {"network leave", exitUsage, "NAME is"},
		{"network set home", exitUsage, "say what to change"}, {"network set --dhcp open", exitUsage, "NAME is"}, {"network set home --dhcp maybe", exitUsage, "--dhcp: "},
		{"peers a b", exitUsage, `"b" is an argument`}, {"leases a b c", exitUsage, `"b" is an argument`},
		{"attach --container c", exitUsage, "--netns and --pid"}, {"attach --netns /x", exitUsage, "--container is needed"},
		{"attach --netns /x --pid 1 --container c", exitUsage, "give one"}, {"attach --pid -1 --container c", exitUsage, "not a process ID"},
		{"attach --netns /x --container -c", exitUsage, "--container"}, {"attach --netns /x --container c --ifname a/b", exitUsage, "--ifname"},
		{"attach --netns /x --container c --mtu 1", exitUsage, "MTU 1"}, {"detach", exitUsage, "--container is needed"},
		{"detach --netns /x --pid 1 --container c", exitUsage, "give one"},
		{"completion", exitUsage, "SHELL is missing"}, {"completion sh", exitUsage, `"sh"`}, {"import", exitUsage, "FILE is missing"},
		{"version x", exitUsage, `"x" is an argument too much`},

		{"status" + nowhere, exitUnreachable, "is meshd running?"}, {"status --json" + nowhere, exitUnreachable, "not reachable"},
		{"network create x" + nowhere, exitUnreachable, "nowhere"}, {"leases" + nowhere, exitUnreachable, "nowhere"},
		{"ipam show" + nowhere, exitUnreachable, "nowhere"}, {"ipam reserve 10.0.0.1" + nowhere, exitUnreachable, "nowhere"},
		{"detach --container c" + nowhere, exitUnreachable, "nowhere"},
		{"network join " + home.String() + nowhere, exitUnreachable, "nowhere"},
	} {
		code, stdout, stderr := meshctl("", tt.line)
		switch {
		case code != tt.code:
			t.Errorf("meshctl %s: exit %d, want %d; stderr %s", tt.line, code, tt.code, stderr)
		case code == exitDone && (stdout == "" || stderr != ""):
			t.Errorf("meshctl %s: stdout %q, stderr %q; want something on stdout alone", tt.line, stdout, stderr)
		case code != exitDone && stdout != "":
			t.Errorf("meshctl %s: stdout %q, want none", tt.line, stdout)
		case code != exitDone && (!strings.HasPrefix(stderr, "meshctl: ") || strings.Index(stderr, "\n") != len(stderr)-1):
			t.Errorf("meshctl %s: stderr %q, want one line of meshctl's", tt.line, stderr)
		case !strings.Contains(stderr, tt.says):
			t.Errorf("meshctl %s: stderr %q, want %q", tt.line, stderr, tt.says)
		}
	}
}

// "stdout: the token, alone"
func TestCreate(t *testing.T) {
	d := new(daemon)
	start(t, d)
	code, stdout, stderr := meshctl("12345678\n",
		"network create home --ipv6 fd00::/48 --mtu 1400 --bridge lxcbr0 --psk-file - --endpoint a:1 --endpoint [::1]:2")
	if code != exitDone || stdout != home.String()+"\n" || !strings.Contains(stderr, "network home: bridge mesh0") {
		t.Errorf("network create: exit %d, stdout %q, stderr %q; want the token alone and a note", code, stdout, stderr)
	}
	want := []any{api.CreateRequest{
		Name: "home", IPv6: netip.MustParsePrefix("fd00::/48"), MTU: 1400, Bridge: "lxcbr0", PSK: "12345678\n", Endpoints: []string{"a:1", "[::1]:2"},
	}}
	if !reflect.DeepEqual(d.requests, want) {
		t.Errorf("network create asked %+v\nwant %+v", d.requests, want)
	}
}

// A token is taken from the command line, a file or standard input, with whatever white space.
func TestJoin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(home.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ line, stdin string }{
		{"network join " + home.String(), ""}, {"network join --token-file " + file, ""},
		{"network join --token-file -", "  " + home.String() + "\n\n"},
	} {
		d := new(daemon)
		start(t, d)
		code, stdout, stderr := meshctl(tt.stdin, tt.line+" --bridge b --endpoint a:1 --no-wait")
		if code != exitDone || stderr != "" || stdout != "joined home: bridge mesh0, prefix fd12:3456:789a::/48, pools 10.77.0.0/16 10.78.0.0/24, peers 1 of 2 up\n" {
			t.Errorf("meshctl %s: exit %d, stdout %q, stderr %q", tt.line, code, stdout, stderr)
		}
		want := []any{api.JoinRequest{Token: home.String(), Bridge: "b", Endpoints: []string{"a:1"}, NoWait: true}}
		if !reflect.DeepEqual(d.requests, want) {
			t.Errorf("meshctl %s asked %+v\nwant %+v", tt.line, d.requests, want)
		}
	}
}

// "Joining a network again changes nothing", and says so.
func TestJoinAgain(t *testing.T) {
	start(t, new(daemon))
	again := home
	again.NetworkID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16} // as network() says
	code, stdout, _ := meshctl("", "network join "+again.String())
	if code != exitDone || !strings.HasPrefix(stdout, "already a member of home: bridge mesh0") {
		t.Errorf("network join again: exit %d, stdout %q", code, stdout)
	}
}

// A name that is there, but empty, is not the same as none: "$NET" without a value must not mean all networks.
func TestEmptyName(t *testing.T) {
	start(t, new(daemon))
	for _, line := range []string{"network create", "network show", "network token", "network leave", "peers", "leases", "dns", "detach --container c"} {
		if code, _, stderr := meshctl("", line, ""); code != exitUsage || !strings.Contains(stderr, "the name of a network is empty") {
			t.Errorf("meshctl %s \"\": exit %d, stderr %q; want %d", line, code, stderr, exitUsage)
		}
	}
}

// "That there is nothing to detach is no failure." But that something else is attached may be news.
func TestDetachOther(t *testing.T) {
	start(t, &daemon{attachments: []api.Attachment{
		{Network: "home", Container: "web", IfName: "mesh9"}, {Network: "home", Container: "db", IfName: "eth0"},
	}})
	for line, want := range map[string]string{
		"detach --container web": "web has no eth0 on the mesh; it has mesh9\n", "detach --container db": "", "detach --container x": "",
		"detach --container web --ifname mesh9": "",
	} {
		if code, stdout, stderr := meshctl("", line); code != exitDone || stdout != "" || stderr != want {
			t.Errorf("meshctl %s: exit %d, stdout %q, stderr %q; want %q", line, code, stdout, stderr, want)
		}
	}
}

func TestToken(t *testing.T) {
	start(t, new(daemon))
	want := home
	want.Endpoints = []string{"b:2"}
	if code, stdout, _ := meshctl("", "network token home --endpoint b:2"); code != exitDone || stdout != want.String()+"\n" {
		t.Errorf("network token --endpoint: exit %d, stdout %q, want %q", code, stdout, want)
	}
}

// A token with which nobody can join is printed with a warning.
func TestTokenWithoutEndpoints(t *testing.T) {
	none := home
	none.Endpoints = nil
	var stdout, stderr strings.Builder
	if err := (&cli{stdout: &stdout, stderr: &stderr}).printToken(none.String()); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != none.String()+"\n" || !strings.HasPrefix(stderr.String(), "warning: the token says no endpoint") {
		t.Errorf("printToken: stdout %q, stderr %q; want the token and a warning", stdout.String(), stderr.String())
	}
}

func TestGenkey(t *testing.T) {
	_, first, _ := meshctl("", "genkey")
	_, second, _ := meshctl("", "genkey")
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(first)); err != nil || len(key) != 32 || first == second {
		t.Errorf("genkey printed %q and %q; want 256 bits of base64, another each time", first, second)
	}
}

func TestImport(t *testing.T) {
	code, stdout, stderr := meshctl("networkname Home\npsk 12345678\ninitpeers 192.0.2.1 7000\n", "import -")
	if code != exitDone || stderr != "" || !strings.Contains(stdout, "name = \"home\"") || !strings.Contains(stdout, `endpoints = ["192.0.2.1:7000"]`) {
		t.Errorf("import -: exit %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
}

// "So do options that PeerVPN does not have, with a warning on standard error."
func TestImportUnknown(t *testing.T) {
	code, stdout, stderr := meshctl("networkname home\npsk 12345678\nencryption on\nfoo\n", "import -")
	want := "warning: -: not options of PeerVPN, and only comments in the output: \"encryption\" (line 3), \"foo\" (line 4)\n"
	if code != exitDone || stderr != want || !strings.Contains(stdout, "# line 3: encryption on\n") {
		t.Errorf("import: exit %d, stderr %q, want %q; stdout\n%s", code, stderr, want, stdout)
	}
	code, stdout, stderr = meshctl("networkname home\nenablerelay maybe\n", "import -")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, `line 2: enablerelay: "maybe" is not yes or no`) {
		t.Errorf("import of a bad value: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	for _, line := range []string{"version", "--version"} {
		if code, stdout, _ := meshctl("", line); code != exitDone || stdout != "meshctl devel\n" {
			t.Errorf("meshctl %s: exit %d, stdout %q", line, code, stdout)
		}
	}
}

// Backticks mark a flag's value for the help; shells would show them.
func TestCompleteFlags(t *testing.T) {
	_, stdout, _ := meshctl("", "__complete attach --con", "")
	_, all, _ := meshctl("", "__complete network create --")
	if strings.Contains(stdout+all, "`") || !strings.Contains(all, "--psk-file\tfile with the network's key") {
		t.Errorf("completion of flags =\n%s%s\nwant no backticks", stdout, all)
	}
}

// The shell completes the names of networks.
func TestComplete(t *testing.T) {
	start(t, new(daemon))
	for _, line := range []string{"network show", "network leave", "peers", "leases", "dns", "attach", "ipam show", "ipam check", "ipam recover", "ipam adopt",
		"ipam reserve 10.77.0.9", "ipam release 10.77.0.9", "node remove db-1"} {
		if _, stdout, _ := meshctl("", "__complete "+line, ""); !strings.HasPrefix(stdout, "home\n") {
			t.Errorf("completion after %q = %q, want home", line, stdout)
		}
	}
	if _, stdout, _ := meshctl("", "__complete node remove", ""); !strings.HasPrefix(stdout, "db-1\n") {
		t.Errorf("completion after node remove = %q, want the hosts", stdout)
	}
}
