package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// The program starts itself under this name on a host, to call plugins from there: entering a host takes longer than
// some of an ADD.
const addLoop = "add-loop" // FILE with an addJob

// addJob is what to call and how often.
type addJob struct {
	Plugins []addPlugin
	Rounds  int
	AtOnce  int // calls of one plugin at the same time
}

type addPlugin struct {
	Name    string
	Program string
	Path    string // CNI_PATH
	Conf    string // standard input
}

// runAddLoop is the program under the name above.
func runAddLoop(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("want one file")
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var job addJob
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	times, err := job.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(times)
}

// run calls ADD of all plugins and DEL of all, in each round, in an order that alternates.
func (j addJob) run() (addTimes, error) {
	times := addTimes{Add: make(map[string][]time.Duration), Del: make(map[string][]time.Duration)}
	for n := range j.AtOnce {
		for p := range j.Plugins {
			if err := output("ip", "netns", "add", netnsName(p, n)); err != nil {
				return times, err
			}
			defer output("ip", "netns", "del", netnsName(p, n))
		}
	}
	order := make([]int, len(j.Plugins))
	for i := range order {
		order[i] = i
	}
	for round := range j.Rounds {
		for _, p := range order {
			for _, command := range []string{"ADD", "DEL"} {
				took, err := j.atOnce(command, p, round)
				if err != nil {
					return times, err
				}
				name, into := j.Plugins[p].Name, times.Add
				if command == "DEL" {
					into = times.Del
				}
				into[name] = append(into[name], took...)
			}
		}
		slices.Reverse(order)
	}
	return times, nil
}

func netnsName(plugin, n int) string { return fmt.Sprintf("add%d-%d", plugin, n) }

// atOnce calls a command for all containers of a plugin at the same time and returns how long each took.
func (j addJob) atOnce(command string, plugin, round int) ([]time.Duration, error) {
	took := make([]time.Duration, j.AtOnce)
	errs := make([]error, j.AtOnce)
	var all sync.WaitGroup
	for n := range j.AtOnce {
		all.Go(func() {
			took[n], errs[n] = j.Plugins[plugin].call(command, netnsName(plugin, n), fmt.Sprintf("bench-%d-%d-%d", plugin, round, n))
		})
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// call runs the plugin as a runtime does (CNI 1.0.0, "Protocol parameters").
func (p addPlugin) call(command, netns, container string) (time.Duration, error) {
	cmd := exec.Command(p.Program)
	cmd.Stdin = bytes.NewReader([]byte(p.Conf))
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+container, "CNI_NETNS="+filepath.Join("/run/netns", netns),
		"CNI_IFNAME=eth0", "CNI_PATH="+p.Path)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w: %s", p.Name, command, err, lastLines(out.String()+complaint.String(), 5))
	}
	return took, nil
}
