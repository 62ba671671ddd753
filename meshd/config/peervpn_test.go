package config

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestImportPeerVPN(t *testing.T) {
	files, err := filepath.Glob("testdata/peervpn/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, _, err := ImportPeerVPN(f)
			if err != nil {
				t.Fatalf("ImportPeerVPN error = %v", err)
			}
			golden := strings.TrimSuffix(file, ".conf") + ".toml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("ImportPeerVPN =\n%s\nwant\n%s%v", got, want, err)
			}
			checkImported(t, got)
		})
	}
}

// checkImported checks that meshd takes the file, once a key is filled in where one is missing.
func checkImported(t *testing.T, text string) {
	t.Helper()
	text = strings.Replace(text, `# psk = "…"`, `psk = "`+hexPSK+`"`, 1)
	c, err := Parse(strings.NewReader(text), base, secrets)
	if err != nil || len(c.Networks) != 1 {
		t.Errorf("Parse of the imported file = %+v, %v\n%s", c, err, text)
	}
}

// "Every PeerVPN option is either there under its natural name or listed with what replaces it": each one is mentioned.
func TestImportPeerVPNMentionsAll(t *testing.T) {
	text, err := os.ReadFile("testdata/peervpn/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	natural := map[string]string{ // to the key that says it
		"networkname": "name = ", "psk": "psk = ", "initpeers": "endpoints = ", "port": ":7001", "local": "192.168.12.34",
		"sockmark": "fwmark = ", "enableipv4": "listen = ", "enableipv6": "listen = ",
	}
	for _, option := range peerVPNOptions() {
		says := "# " + option + " "
		if key, ok := natural[option]; ok {
			says = key
		}
		if !strings.Contains(string(text), says) {
			t.Errorf("full.toml does not say %q", says)
		}
	}
}

// "So do options that PeerVPN does not have; unknown names them with their lines."
func TestImportPeerVPNUnknown(t *testing.T) {
	got, unknown, err := ImportPeerVPN(strings.NewReader("networkname a\nencryption on # forked\nport 7001\nPort\nendconfig\nnext 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`"encryption" (line 2)`, `"Port" (line 4)`}; !slices.Equal(unknown, want) {
		t.Errorf("unknown = %q, want %q", unknown, want)
	}
	if want := "\n# Not options of PeerVPN, and left out:\n# line 2: encryption on\n# line 4: Port\n"; !strings.HasSuffix(got, want) {
		t.Errorf("ImportPeerVPN =\n%s\nwant it to end with%s", got, want)
	}
	checkImported(t, got)
}

func TestImportPeerVPNBad(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{"\nPort 1\nencryption on", `line 2: PeerVPN has no option "Port", and the file has no other that it has`},
		{"enablerelay maybe", `line 1: enablerelay: "maybe" is not yes or no`},
		{"enablerelay", `line 1: enablerelay: "" is not yes or no`},
	} {
		if _, _, err := ImportPeerVPN(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("ImportPeerVPN(%q) error = %v, want one that says %q", tt.text, err, tt.says)
		}
	}
}

// Whatever PeerVPN takes, meshd takes the translation.
func FuzzImportPeerVPN(f *testing.F) {
	files, err := filepath.Glob("testdata/peervpn/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, conf string) {
		got, _, err := ImportPeerVPN(strings.NewReader(conf))
		if err != nil {
			return
		}
		lines := strings.Split(got, "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "psk = ") { // stretching it takes long
				lines[i] = `psk = "` + hexPSK + `"`
			}
		}
		checkImported(t, strings.Join(lines, "\n"))
	})
}

// A state file is never understood in two ways: what is accepted can be saved and loaded again.
func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","network_id":"01","psk":"02","mtu":1500,"ipv6":"fd00::/48","private_key":"03"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseSettings(data)
		if err == nil && n.check() != nil {
			t.Errorf("parseSettings(%q) = %+v, which is not good: %v", data, n, n.check())
		}
	})
}
