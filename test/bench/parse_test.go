package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseIperf(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     transfer
		err      string
	}{
		{"TCP", `{"end": {"sum_sent": {"retransmits": 7, "bits_per_second": 9e9}, "sum_received": {"bits_per_second": 4.5e9, "seconds": 2}}}`, transfer{4.5e9, 2, 7}, ""},
		{"error", `{"error": "unable to connect to server: Connection refused"}`, transfer{}, "iperf3: unable to connect"},
		{"nothing received", `{"end": {"sum_received": {"bits_per_second": 0, "seconds": 2}}}`, transfer{}, "nothing was received"},
		{"no JSON", `iperf3: usage`, transfer{}, "reading iperf3's JSON"},
	} {
		got, err := parseIperf([]byte(c.in))
		checkError(t, c.name, err, c.err)
		if got != c.want {
			t.Errorf("%s: parseIperf = %+v, want %+v", c.name, got, c.want)
		}
	}
	if got := (transfer{BitsPerSecond: 4.5e9, Seconds: 2}).gbit(); got != 9 {
		t.Errorf("gbit = %v, want 9", got)
	}
}

func TestParsePing(t *testing.T) {
	const out = `PING 10.77.0.2 (10.77.0.2) 56(84) bytes of data.
64 bytes from 10.77.0.2: icmp_seq=1 ttl=64 time=0.230 ms
64 bytes from 10.77.0.2: icmp_seq=3 ttl=64 time=41 ms

--- 10.77.0.2 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms
rtt min/avg/max/mdev = 0.230/20.6/41/20.3 ms
`
	for _, c := range []struct {
		name, in string
		want     []time.Duration
		err      string
	}{
		{"answers", out, []time.Duration{230 * time.Microsecond, 41 * time.Millisecond}, ""},
		{"none", "1 packets transmitted, 0 received, 100% packet loss, time 0ms\n", nil, "no answer"},
		{"garbage", "64 bytes from x: time=soon ms\n", nil, "no time in"},
	} {
		got, err := parsePing(c.in)
		checkError(t, c.name, err, c.err)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: parsePing = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const after = " S 1 2 3 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 1"
	for _, c := range []struct {
		name, in string
		want     time.Duration
		err      string
	}{
		{"plain", "42 (meshd)" + after, 3 * time.Second, ""},
		{"a command with spaces and parentheses", "42 (a) b (c)" + after, 3 * time.Second, ""},
		{"cut off", "42 (meshd) S 1 2", 0, "fields after the command"},
		{"no number", "42 (meshd) S 1 2 3 0 -1 4194560 100 0 0 0 x 50 0", 0, "invalid syntax"},
	} {
		got, err := parseStat(c.in)
		checkError(t, c.name, err, c.err)
		if got != c.want {
			t.Errorf("%s: parseStat = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseReceived(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     float64
		err      string
	}{
		{"counted", "listening\nreceived 3000 in 1.5s\n", 2000, ""},
		{"nothing came", "listening\nreceived 0 in 0s\n", 0, "0 packets arrived"},
		{"it died", "listening\n", 0, "has counted nothing"},
	} {
		got, err := parseReceived(c.in)
		checkError(t, c.name, err, c.err)
		if got != c.want {
			t.Errorf("%s: parseReceived = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCPUModel(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"); got != "Some CPU @ 2 GHz" {
		t.Errorf("cpuModel = %q", got)
	}
	if got := cpuModel("processor\t: 0\n"); !strings.HasSuffix(got, " CPU") {
		t.Errorf("cpuModel without a name = %q", got)
	}
}

// checkError wants an error that contains a text, or none if it is empty.
func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: error = %v, want %q", name, err, want)
	}
}
