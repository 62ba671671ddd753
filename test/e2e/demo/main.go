// Command demo shows meshnet at work on one machine: three simulated hosts (see lab), LXC on two, CNI on one. It runs
// what a user would type and prints it, ends with exit 1 if anything is not as it should be, and leaves nothing behind.
package main

import (
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"meshnet/test/e2e/lab"
)

func main() {
	bin := flag.String("bin", "bin", "directory with the programs; what is missing is built into it")
	flag.Parse()
	s := newStage(os.Stdout)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		s.say("\ninterrupted: cleaning up")
		s.end(130)
	}()

	began := time.Now()
	dir, err := filepath.Abs(*bin)
	if err == nil {
		err = lab.Build(dir)
	}
	if err != nil {
		s.Fatalf("%v", err)
	}
	play(s, dir)
	s.clean()
	s.title("Done in %.1f s", time.Since(began).Seconds())
	s.say("Everything has been taken down: processes, interfaces, namespaces, files.")
	s.say("On real hosts it is the same: see README.md.")
	s.end(0)
}

// play is the whole demo.
func play(s *stage, bin string) {
	s.title("meshnet: one encrypted network segment for the containers of many hosts")
	s.say("Three hosts on this machine, each with its own network, mounts and processes. What joins them, the")
	s.say("underlay, stands for the internet: all of it is recorded. Nothing outside of the hosts is touched.")
	s.text(`
  a 192.0.2.1 ── lxc "web"   ─┐
  b 192.0.2.2 ── cni "db"    ─┼─ one Ethernet segment, every host with every other, no server in the middle
  c 192.0.2.3 ── lxc "cache" ─┘`)
	began := time.Now()
	p := &cast{stage: s, lab: lab.New(s, bin)}
	hosts := p.lab.Hosts("a", "b", "c")
	p.a, p.b, p.c = hosts[0], hosts[1], hosts[2]
	s.say("  (booted in %d ms)", time.Since(began).Milliseconds())
	p.recording = p.lab.Capture()

	p.network()
	p.containers()
	p.third()
	p.blocks()
	p.pairs()
	p.ciphertext()
	p.crash()
}
