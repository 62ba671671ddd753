package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meshnet/test/e2e/lab"
)

// addAtOnce is how many containers start at the same time, as after a reboot.
const addAtOnce = 50

// pluginsVersion is of the reference CNI plugins that ADD is compared with.
const pluginsVersion = "v1.9.1"

// addResults is the ADD path of CNI, side by side.
type addResults struct {
	Names      []string // of the plugins
	Sequential addTimes
	AtOnce     addTimes
	Err        error
}

// addTimes are the durations of calls by the plugin's name.
type addTimes struct {
	Add, Del map[string][]time.Duration
}

// measureAdds times cni-meshnet beside bridge with host-local on one host, taking turns.
func measureAdds(ctx context.Context, w *workshop, o options) *addResults {
	r := new(addResults)
	dir, _, err := w.module("github.com/containernetworking/plugins", []string{"/plugins/main/bridge", "/plugins/ipam/host-local"}, pluginsVersion)
	if err != nil {
		r.Err = err
		return r
	}
	plugins := addPlugins(o, dir)
	for _, p := range plugins {
		r.Names = append(r.Names, p.Name)
	}
	r.Err = perform(func(tb *stage) {
		l := lab.New(tb, o.bin)
		h := l.Hosts("a")[0]
		h.Output("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 > $f; done")
		h.StartMeshd()
		h.Output("meshctl", "network", "create", "bench")
		fmt.Fprintf(os.Stderr, "%d ADDs of %s one after another\n", o.adds, strings.Join(r.Names, " and of "))
		r.Sequential = addRun(ctx, tb, h, addJob{Plugins: plugins, Rounds: o.adds, AtOnce: 1})
		fmt.Fprintf(os.Stderr, "%d at once\n", addAtOnce)
		r.AtOnce = addRun(ctx, tb, h, addJob{Plugins: plugins, Rounds: max(1, o.adds/addAtOnce), AtOnce: addAtOnce})
	})
	return r
}

// addPlugins returns cni-meshnet and bridge with host-local, which is spared IPv6 and keeps its files where meshd does.
func addPlugins(o options, reference string) []addPlugin {
	var ps []addPlugin
	program := filepath.Join(o.bin, "cni-meshnet")
	ps = append(ps, addPlugin{Name: "cni-meshnet", Program: program, Path: o.bin,
		Conf: `{"cniVersion": "1.0.0", "name": "bench", "type": "cni-meshnet"}`})
	return append(ps, addPlugin{Name: "bridge+host-local", Program: filepath.Join(reference, "bridge"), Path: reference,
		Conf: `{"cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "cni0",
			"ipam": {"type": "host-local", "dataDir": "/var/lib/meshnet/host-local", "subnet": "10.99.0.0/16"}}`})
}

// addRun has the host run a job.
func addRun(ctx context.Context, tb *stage, h *lab.Host, job addJob) addTimes {
	text, err := json.Marshal(job)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	self, err := os.Executable()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	h.Write("/run/job.json", string(text))
	p := h.Start(self, addLoop, "/run/job.json")
	select {
	case <-p.Done():
	case <-ctx.Done():
		tb.Fatalf("interrupted")
	case <-time.After(10 * time.Minute):
		tb.Fatalf("the ADDs have not ended within 10 min: %s", lastLines(p.Err.String(), 2))
	}
	var times addTimes
	if p.Code() != 0 {
		tb.Fatalf("%s", lastLines(p.Err.String(), 3))
	}
	if err := json.Unmarshal([]byte(p.Out.String()), &times); err != nil {
		tb.Fatalf("reading the times of the ADDs: %v", err)
	}
	return times
}

// table returns the times as Markdown; the ratio is to the last plugin, the reference.
func (r *addResults) table() string {
	if r.Err != nil {
		return fmt.Sprintf("Not measured: %s\n", strings.Join(strings.Fields(r.Err.Error()), " "))
	}
	rows := [][]string{{"ms", "ADD p50", "ADD p99", "DEL p50", "DEL p99"}}
	for _, way := range []struct {
		name  string
		times addTimes
	}{{"one after another", r.Sequential}, {fmt.Sprintf("%d at once", addAtOnce), r.AtOnce}} {
		for _, name := range r.Names {
			row := []string{name + ", " + way.name}
			for _, calls := range []map[string][]time.Duration{way.times.Add, way.times.Del} {
				for _, q := range []float64{0.5, 0.99} {
					row = append(row, addCell(quantile(calls[name], q), quantile(calls[r.Names[len(r.Names)-1]], q), name == r.Names[len(r.Names)-1]))
				}
			}
			rows = append(rows, row)
		}
	}
	return markdown(rows)
}

func addCell(d, reference time.Duration, isReference bool) string {
	text := fmt.Sprintf("%.1f", d.Seconds()*1e3)
	if isReference || reference == 0 {
		return text
	}
	return text + " (" + ratio(float64(d)/float64(reference)) + ")"
}

// report returns the section of the document.
func (r *addResults) report(machine string) string {
	return fmt.Sprintf("### CNI ADD and DEL\n\nMachine: %s.\n"+
		"%s of containernetworking/plugins %s takes turns with cni-meshnet on one host; the time is that of\n"+
		"the plugin's process. The reference assigns IPv4 only, cni-meshnet IPv4 and IPv6. The first calls are among them: they make\n"+
		"the bridge, and claim a block of addresses in the network. In parentheses: how many times the reference's.\n\n%s",
		machine, "`bridge` with `host-local`", pluginsVersion, r.table())
}
