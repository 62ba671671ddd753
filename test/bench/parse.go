package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// transfer is what a run of iperf3 came to.
type transfer struct {
	BitsPerSecond float64 // received
	Seconds       float64
	Retransmits   int
}

// gbit returns how much was received, in Gbit.
func (t transfer) gbit() float64 { return t.BitsPerSecond * t.Seconds / 1e9 }

// parseIperf reads what `iperf3 -J` prints for TCP.
func parseIperf(out []byte) (transfer, error) {
	var doc struct {
		Error string `json:"error"`
		End   struct {
			Sent struct {
				Retransmits int `json:"retransmits"`
			} `json:"sum_sent"`
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
				Seconds       float64 `json:"seconds"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return transfer{}, fmt.Errorf("reading iperf3's JSON: %w", err)
	}
	if doc.Error != "" {
		return transfer{}, fmt.Errorf("iperf3: %s", doc.Error)
	}
	t := transfer{doc.End.Received.BitsPerSecond, doc.End.Received.Seconds, doc.End.Sent.Retransmits}
	if t.gbit() <= 0 {
		return transfer{}, errors.New("iperf3: nothing was received")
	}
	return t, nil
}

// parsePing returns the round-trip times in what iputils' ping prints.
func parsePing(out string) ([]time.Duration, error) {
	var rtts []time.Duration
	for line := range strings.Lines(out) {
		_, after, ok := strings.Cut(line, " time=")
		if !ok {
			continue
		}
		ms, _, _ := strings.Cut(after, " ms")
		rtt, err := time.ParseDuration(strings.TrimSpace(ms) + "ms")
		if err != nil {
			return nil, fmt.Errorf("reading ping's output: no time in %q", strings.TrimSpace(line))
		}
		rtts = append(rtts, rtt)
	}
	if len(rtts) == 0 {
		return nil, errors.New("ping: no answer")
	}
	return rtts, nil
}

// userHZ is the unit of times in /proc/PID/stat: 1/100 s on every architecture Go runs on (proc(5), sysconf(3)).
const userHZ = 100

// parseStat returns user and system time from the text of /proc/PID/stat (proc(5): fields 14 and 15). The second
// field, the command, may hold anything, so fields count from the last parenthesis.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading /proc/PID/stat: %d fields after the command", len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ, nil
}
