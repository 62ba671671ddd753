package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		name       string
		args       []string
		conditions string
		rounds     int
		length     time.Duration
		adds       int
	}{
		{"full", nil, "mtu1400,mtu1500,mtu8900,loss0.1,loss1,delay20", 3, 3 * time.Second, 100},
		{"short", []string{"-short"}, "mtu1500,loss1,delay20", 1, time.Second, 25},
		{"short, but", []string{"-short", "-rounds", "2", "-seconds", "2", "-conditions", "loss0.1", "-adds", "0"}, "loss0.1", 2, 2 * time.Second, 0},
		{"ADD alone", []string{"-conditions", "none"}, "", 3, 3 * time.Second, 100},
	} {
		o, err := parseOptions(c.args)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := conditionNames(o.conditions); got != c.conditions || o.rounds != c.rounds || o.length != c.length || o.adds != c.adds {
			t.Errorf("%s: conditions %s, %d rounds, %v, %d ADDs", c.name, got, o.rounds, o.length, o.adds)
		}
	}
	for _, args := range [][]string{{"-conditions", "snow"}, {"-rounds", "0"}, {"-seconds", "0"}, {"-seconds", "0.5"}, {"extra"}, {"-meshnet", "old"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestParseBinaries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nebula")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	bs, err := parseBinaries("nebula-head=" + path)
	if err != nil || len(bs) != 1 || bs[0] != (binary{"nebula-head", path}) {
		t.Errorf("parseBinaries = %v, %v", bs, err)
	}
	if bs, err := parseBinaries(""); err != nil || len(bs) != 0 {
		t.Errorf("parseBinaries of nothing = %v, %v", bs, err)
	}
	for _, bad := range []string{"nebula", "=" + path, "x=" + path + "-not-there"} {
		if _, err := parseBinaries(bad); err == nil {
			t.Errorf("parseBinaries takes %q", bad)
		}
	}
}

// "-meshnet old=DIR1,new=DIR2 compares two builds in one run"
func TestGatherBuilds(t *testing.T) {
	peers, err := gather(&workshop{}, "veth,meshnet", []binary{{"old", "/old"}, {"new", "/new"}}, []binary{{"peervpn", "/p"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"veth", "meshnet old", "meshnet new", "peervpn"}
	for i, p := range peers {
		if p.Name != want[i] {
			t.Errorf("peer %d = %s, want %s", i, p.Name, want[i])
		}
	}
	if len(peers) != len(want) || peers[1].bin != "/old" || peers[2].bin != "/new" {
		t.Errorf("peers = %+v", peers)
	}
	if _, err := gather(&workshop{}, "pigeons", nil, nil); err == nil {
		t.Error("gather knows pigeons")
	}
	if _, err := gather(&workshop{}, "veth", nil, []binary{{"pigeons", "/p"}}); err == nil {
		t.Error("MESHNET_BENCH_PEERS may name pigeons")
	}
}

func TestPerform(t *testing.T) {
	var order []string
	err := perform(func(tb *stage) {
		tb.Cleanup(func() { order = append(order, "first") })
		tb.Cleanup(func() { order = append(order, "second"); tb.Logf("the log of %s", "x") })
		tb.Fatalf("no %s", "luck")
	})
	checkError(t, "perform", err, "no luck\nthe log of x")
	if len(order) != 2 || order[0] != "second" || order[1] != "first" {
		t.Errorf("cleanups ran %q, want last-in first-out", order)
	}
	if err := perform(func(*stage) {}); err != nil {
		t.Errorf("perform of what succeeds = %v", err)
	}
}
