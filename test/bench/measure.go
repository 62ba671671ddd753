package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"meshnet/test/e2e/lab"
)

// sample is one measurement of a metric. Each metric sets some of it.
type sample struct {
	Gbps        float64       // TCP: received by the container
	CPU         float64       // TCP: core-seconds of the daemons of both hosts per Gbit
	HasCPU      bool          // the peer has daemons
	PPS         float64       // UDP: packets per second that arrived in the container
	RTT, RTTP99 time.Duration // ping
}

// measure takes one sample, for about that long.
func (s *site) measure(m metric, length time.Duration) sample {
	switch m.kind {
	case "tcp":
		return s.measureTCP(m, length)
	case "udp":
		return s.measureUDP(m, length)
	default:
		return s.measurePing(length)
	}
}

func (s *site) measureTCP(m metric, length time.Duration) sample {
	server := s.boxes[1].Start("iperf3", "-s", "-1", "--forceflush")
	defer s.stop(server)
	s.await(server, "iperf3 listens", func() bool { return strings.Contains(server.Out.String(), "listening") })
	args := []string{"iperf3", "-c", s.addrs[1].String(), "-J", "--connect-timeout", "3000",
		"-t", seconds(length), "-P", strconv.Itoa(m.streams)}
	if m.reverse {
		args = append(args, "-R")
	}
	before := s.cpu()
	out := s.run(s.boxes[0], length+10*time.Second, args...)
	used := s.cpu() - before
	t, err := parseIperf([]byte(out))
	s.must(err)
	if len(s.daemons) > 0 && used == 0 {
		s.tb.Fatalf("the daemons used no time: the traffic took another way")
	}
	return sample{Gbps: t.BitsPerSecond / 1e9, CPU: used.Seconds() / t.gbit(), HasCPU: len(s.daemons) > 0}
}

func (s *site) measureUDP(m metric, length time.Duration) sample {
	self, err := os.Executable()
	s.must(err)
	receiver := s.boxes[1].Start(self, udpReceive, s.addrs[1].String())
	defer s.stop(receiver)
	s.await(receiver, "the receiver listens", func() bool { return strings.Contains(receiver.Out.String(), "listening") })
	s.run(s.boxes[0], length+10*time.Second, self, udpSend, s.addrs[1].String(), strconv.Itoa(m.size), length.String())
	if !receiver.Ended(10 * time.Second) {
		s.tb.Fatalf("the receiver of UDP waits: no packet arrived")
	}
	pps, err := parseReceived(receiver.Out.String())
	s.must(err)
	return sample{PPS: pps}
}

// pingInterval is long enough that the machine sleeps between two: what is measured is waking up, as in life.
const pingInterval = 5 * time.Millisecond

func (s *site) measurePing(length time.Duration) sample {
	count := strconv.Itoa(int(length / pingInterval))
	out := s.run(s.boxes[0], length+20*time.Second, "ping", "-c", count, "-i", seconds(pingInterval), s.addrs[1].String())
	rtts, err := parsePing(out)
	s.must(err)
	return sample{RTT: quantile(rtts, 0.5), RTTP99: quantile(rtts, 0.99)}
}

// run runs a command in a container to its end and returns its standard output, whatever its exit code is.
func (s *site) run(c *lab.Container, within time.Duration, args ...string) string {
	p := c.Start(args...)
	select {
	case <-p.Done():
	case <-time.After(within):
		s.stop(p)
		s.tb.Fatalf("%s has not ended within %v: %s", args[0], within, lastLines(p.Err.String(), 2))
	case <-s.ctx.Done():
		s.stop(p)
		s.tb.Fatalf("interrupted")
	}
	if p.Out.String() == "" && p.Code() != 0 {
		s.tb.Fatalf("%s: exit %d: %s", strings.Join(args, " "), p.Code(), lastLines(p.Err.String(), 2))
	}
	return p.Out.String()
}

func (s *site) await(p *lab.Process, what string, cond func() bool) {
	s.hosts[1].Within(5*time.Second, what, func() bool {
		if p.Ended(0) && !cond() {
			s.tb.Fatalf("not so: %s: exit %d: %s", what, p.Code(), lastLines(p.Out.String()+p.Err.String(), 2))
		}
		return cond()
	}, nil)
}

func (s *site) stop(p *lab.Process) {
	p.Signal(syscall.SIGKILL)
	<-p.Done()
}

// seconds formats d as the tools' options want it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// cpuTime returns the CPU time of a process with all its threads.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("a daemon of the peer has ended: %w", err)
	}
	return parseStat(string(stat))
}
