package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"meshnet/test/e2e/lab"
)

func main() {
	if len(os.Args) > 1 {
		if run, ok := inside[os.Args[1]]; ok {
			exit(run(os.Args[1:], os.Stdout))
		}
	}
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once; the hosts go with this process
	exit(bench(ctx, o))
}

// exit ends the program with what came of it.
func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are what the command line says.
type options struct {
	peers      string
	conditions []condition
	rounds     int
	length     time.Duration // of one measurement
	adds       int           // ADDs of each plugin; 0: none
	bin        string
	builds     []binary
	extra      []binary
	cache      string
	install    bool
	docs       string // directory; empty: only print
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.peers, "peers", strings.Join(peerNames(), ","), "what to measure; ratios are to the first")
	names := f.String("conditions", conditionNames(conditions), "under which conditions, or none")
	short := f.Bool("short", false, "a run of a few minutes: one round of 1 s, mtu1500, loss1 and delay20, unless said otherwise")
	f.IntVar(&o.rounds, "rounds", 3, "how often to measure each; the tables have medians")
	length := f.Int("seconds", 3, "how long one measurement takes; iperf3 knows whole ones only")
	f.IntVar(&o.adds, "adds", 100, "how many ADDs of each CNI plugin to time, or 0")
	f.StringVar(&o.bin, "bin", "bin", "directory with meshnet's programs; what is missing is built into it")
	builds := f.String("meshnet", "", "builds of meshnet to compare: NAME=DIR,NAME=DIR")
	f.StringVar(&o.cache, "cache", defaultCache(), "directory for peers that are built")
	f.BoolVar(&o.install, "install", true, "install Debian packages that are missing")
	f.StringVar(&o.docs, "docs", "docs", "directory of benchmarks.md and benchmarks.svg; empty: write neither")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *short {
		said := make(map[string]bool)
		f.Visit(func(f *flag.Flag) { said[f.Name] = true })
		shorten(&o, said, names, length)
	}
	if o.rounds < 1 || *length < 1 {
		return o, errors.New("-rounds and -seconds have to be positive")
	}
	o.length = time.Duration(*length) * time.Second
	var err error
	if *names != "none" {
		if o.conditions, err = chooseConditions(*names); err != nil {
			return o, err
		}
	}
	if o.builds, err = parseBinaries(*builds); err != nil {
		return o, fmt.Errorf("-meshnet: %w", err)
	}
	if o.extra, err = parseBinaries(os.Getenv("MESHNET_BENCH_PEERS")); err != nil {
		return o, fmt.Errorf("MESHNET_BENCH_PEERS: %w", err)
	}
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

// shorten sets what -short means for the flags that were not said.
func shorten(o *options, said map[string]bool, names *string, length *int) {
	if !said["rounds"] {
		o.rounds = 1
	}
	if !said["seconds"] {
		*length = 1
	}
	if !said["conditions"] {
		*names = "mtu1500,loss1,delay20"
	}
	if !said["adds"] {
		o.adds = 25
	}
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "meshnet-bench")
}

// bench is a whole run.
func bench(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("simulated hosts are network namespaces, so this needs root")
	}
	if err := lab.Build(o.bin); err != nil {
		return err
	}
	w := &workshop{bin: o.bin, cache: o.cache, apt: o.install}
	for program, pkg := range tools {
		if _, err := w.debian(program, pkg); err != nil {
			return err
		}
	}
	peers, err := gather(w, o.peers, o.builds, o.extra)
	if err != nil {
		return err
	}
	began, load := time.Now(), loadAverage()
	r := newResults(o.conditions, peers)
	r.run(ctx, o)
	r.print()
	var adds *addResults
	if o.adds > 0 && ctx.Err() == nil {
		adds = measureAdds(ctx, w, o)
		fmt.Printf("\n%s", adds.table())
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing was written")
	}
	if err := publish(o, r, adds, machineText(began, load)); err != nil {
		return err
	}
	fmt.Printf("took %v\n", time.Since(began).Round(time.Second))
	return nil
}

// publish writes what was measured into the documents, and leaves alone what was not.
func publish(o options, r *results, adds *addResults, machine string) error {
	if o.docs == "" {
		return nil
	}
	if err := os.MkdirAll(o.docs, 0o755); err != nil {
		return err
	}
	if len(r.conditions) > 0 {
		if err := r.write(o, machine); err != nil {
			return err
		}
	}
	if adds != nil {
		return writeSection(filepath.Join(o.docs, "benchmarks.md"), addSection, adds.report(machine))
	}
	return nil
}

// inside is what the program does when it has started itself in a container or on a host.
var inside = map[string]func(args []string, out *os.File) error{
	udpSend:    func(args []string, out *os.File) error { return runUDP(args, out) },
	udpReceive: func(args []string, out *os.File) error { return runUDP(args, out) },
	addLoop:    func(args []string, out *os.File) error { return runAddLoop(args, out) },
}
