package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meshnet/plugins/internal/meshdtest"
)

// Results of versions that know one address of each family and no interfaces.
func TestOldResults(t *testing.T) {
	for _, version := range []string{"", "0.1.0", "0.2.0"} {
		t.Run(version, func(t *testing.T) {
			r := start(t, meshdtest.New(), version).set("gateway", "10.77.0.1").set("isDefaultGateway", true)
			if version == "" {
				r = r.set("cniVersion", nil) // "if not present, 0.1.0 is assumed"
			}
			var result struct {
				CNIVersion string
				IP4, IP6   struct {
					IP, Gateway string
					Routes      []struct{ Dst, GW string }
				}
			}
			out := mustExec(t, r)
			if err := json.Unmarshal(out, &result); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(result.IP4.IP, "10.77.0.") || result.IP4.Gateway != "10.77.0.1" || !strings.HasPrefix(result.IP6.IP, "fd00:1:2:") ||
				len(result.IP4.Routes) != 1 || result.IP4.Routes[0].GW != "10.77.0.1" {
				t.Errorf("ADD printed %s", out)
			}
			for _, command := range []string{"CHECK", "GC", "STATUS"} {
				if _, err := r.with(command).exec(t); err == nil || !strings.Contains(err.Error(), "config version does not allow "+command) {
					t.Errorf("%s = %v, want that the version does not allow it", command, err)
				}
			}
			mustExec(t, r.with("DEL"))
		})
	}
}

// "The plugins start in milliseconds", and are small enough to be copied to every node. CPU time is measured, since other
// programs run on the machine as well.
func TestProgram(t *testing.T) {
	const maxSize, maxStart = 8 << 20, 5 * time.Millisecond
	dir := t.TempDir()
	for _, name := range []string{"cni-meshnet", "cni-meshnet-ipam"} {
		path := filepath.Join(dir, name)
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "meshnet/plugins/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		best := time.Hour
		for range 20 {
			cmd := &exec.Cmd{Path: path, Env: []string{"CNI_COMMAND=VERSION"}}
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			best = min(best, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
		t.Logf("%s: %d bytes, starts in %v", name, info.Size(), best)
		if info.Size() > maxSize || best > maxStart {
			t.Errorf("%s has %d bytes and starts in %v, want at most %d and %v", name, info.Size(), best, maxSize, maxStart)
		}
	}
}
