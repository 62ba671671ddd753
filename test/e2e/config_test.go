package e2e

import (
	"fmt"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// A network is given by name, PSK and endpoints (the network ID then follows from name and PSK), and exactly one host
// says create = true. The state directory stays the truth for keys.
//
//	a: create = true ══ underlay ══ b: create = false, both with --config
func TestConfigFile(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	psk := a.Output("meshctl", "genkey")
	b.StartMeshd("--config", writeConfig(b, psk, false, a.Endpoint())) // the order does not matter
	a.StartMeshd("--config", writeConfig(a, psk, true))
	meshed(t, a, b)
	web, db := a.LXC(lab.LXC{Name: "web"}), b.LXC(lab.LXC{Name: "db"})
	allReach(t, web, db)

	before := status(b).Networks[0]
	b.Meshd().Kill9()
	b.StartMeshd("--config", "/run/meshnet.toml")
	web.Reaches(db, waitMesh)
	if after := status(b).Networks[0]; after.NodeID != before.NodeID || after.ID != before.ID {
		t.Errorf("after a restart with the same file b is %s in %s, was %s in %s", after.NodeID, after.ID, before.NodeID, before.ID)
	}
}

// A file that cannot be right stops meshd before it does anything, with the place and the reason.
//
//	a: meshd with bad files
func TestBadConfigFile(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	key := strings.Repeat("ab", 32)
	for name, tt := range map[string]struct {
		content string
		words   []string
	}{
		"not TOML":       {"[[network\n", []string{"/run/bad.toml"}},
		"unknown key":    {"lisen = [\":7000\"]\n", []string{"/run/bad.toml", "lisen"}},
		"no PSK":         {"[[network]]\ncreate = true\nname = \"mesh\"\n", []string{"/run/bad.toml", "psk"}},
		"short PSK":      {"[[network]]\nname = \"mesh\"\npsk = \"short\"\ncreate = true\n", []string{"/run/bad.toml", "psk"}},
		"bad name":       {"[[network]]\ncreate = true\nname = \"a/b\"\npsk = \"" + key + "\"\n", []string{"/run/bad.toml", "a/b"}},
		"bad endpoint":   {"[[network]]\nname = \"mesh\"\npsk = \"" + key + "\"\nendpoints = [\"here\"]\n", []string{"/run/bad.toml", "here"}},
		"bad token":      {"[[network]]\ntoken = \"hello\"\n", []string{"/run/bad.toml", "token"}},
		"same net twice": {strings.Repeat("[[network]]\ncreate = true\nname = \"mesh\"\npsk = \""+key+"\"\n", 2), []string{"/run/bad.toml", "mesh"}},
	} {
		t.Run(name, func(t *testing.T) {
			a.Write("/run/bad.toml", tt.content)
			refuses(t, a.LaunchMeshd("--config", "/run/bad.toml"), tt.words...)
		})
	}
	refuses(t, a.LaunchMeshd("--config", "/run/none.toml"), "/run/none.toml")
}

// meshctl import peervpn.conf prints the equivalent file.
//
//	a: a PeerVPN configuration ══ underlay ══ b: the same with a as initpeer
func TestImportPeerVPN(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	for i, h := range hosts {
		lines := []string{"# peervpn", "networkname OLDNET", "psk mypassword-of-old", "port 7001", "enabletunneling yes", "interface peervpn0"}
		if i > 0 {
			lines = append(lines, "initpeers "+hosts[0].IPv4.String()+" 7001")
		}
		h.Write("/run/peervpn.conf", strings.Join(lines, "\n")+"\n")
		imported := h.Output("meshctl", "import", "/run/peervpn.conf")
		if i == 0 {
			imported = strings.ReplaceAll(imported, "# create = true", "create = true")
		}
		h.Write("/run/imported.toml", imported+"\n")
		t.Logf("%s:\n%s", h.Name, imported)
		h.StartMeshd("--config", "/run/imported.toml")
	}
	meshed(t, hosts...)
	allReach(t, hosts[0].LXC(lab.LXC{Name: "web"}), hosts[1].LXC(lab.LXC{Name: "db"}))
}

// writeConfig writes h's configuration file and returns its name.
func writeConfig(h *lab.Host, psk string, create bool, endpoints ...string) string {
	quoted := make([]string, len(endpoints))
	for i, e := range endpoints {
		quoted[i] = fmt.Sprintf("%q", e)
	}
	h.Write("/run/meshnet.toml", fmt.Sprintf("[[network]]\nname = \"mesh\"\npsk = %q\nendpoints = [%s]\ncreate = %v\n",
		psk, strings.Join(quoted, ", "), create))
	return "/run/meshnet.toml"
}
