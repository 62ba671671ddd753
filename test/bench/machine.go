package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machineText describes what was measured on and when, and how busy it was already: load is of before the run.
func machineText(now time.Time, load string) string {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	model := "unknown CPU"
	if err == nil {
		model = cpuModel(string(cpuinfo))
	}
	return fmt.Sprintf("%s, %d cores, %s, %s, %s; load before the run %s", model, runtime.NumCPU(), kernelVersion(), runtime.Version(), now.Format(time.DateOnly), load)
}

// loadAverage returns that of the last minute (proc(5)).
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	if err != nil {
		return "unknown"
	}
	return load
}

// cpuModel returns the name in the text of /proc/cpuinfo; not every architecture tells one.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + " CPU"
}
