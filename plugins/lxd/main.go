package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// version is set by the build (-ldflags -X).
var version = "devel"

// Exit codes. Scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// setupTimeout bounds setup and remove. In a cluster LXD asks all its members.
const setupTimeout = 2 * time.Minute

// options are the command line.
type options struct {
	socket, lxdSocket string
	name              string   // of LXD's network
	args              []string // command, and what it is about
	version           bool
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return exitDone
	case err == nil && o.version:
		fmt.Fprintln(stdout, "meshnet-lxd", version)
		return exitDone
	}
	if err == nil {
		err = o.check()
	}
	if err != nil {
		fmt.Fprintf(stderr, "meshnet-lxd: %v; see meshnet-lxd --help\n", err)
		return exitUsage
	}
	if err := o.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "meshnet-lxd: %s\n", strings.Join(strings.Fields(err.Error()), " "))
		if errors.Is(err, api.ErrUnreachable) || errors.Is(err, errNoLXD) {
			return exitUnreachable
		}
		return exitFailed
	}
	return exitDone
}

// parseOptions reads flags, which may stand before and behind what is none.
func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("meshnet-lxd", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.socket, "socket", os.Getenv("MESHNET_SOCKET"), "")
	f.StringVar(&o.lxdSocket, "lxd-socket", "", "")
	f.StringVar(&o.name, "name", "", "")
	f.BoolVar(&o.version, "version", false, "")
	for {
		if err := f.Parse(args); err != nil {
			return o, err
		}
		if f.NArg() == 0 {
			return o, nil
		}
		o.args, args = append(o.args, f.Arg(0)), f.Args()[1:]
	}
}

// check says what is wrong with the command line.
func (o options) check() error {
	if len(o.args) == 0 {
		return errors.New("a command is missing: setup, remove or run")
	}
	command, rest := o.args[0], o.args[1:]
	switch command {
	case "setup", "remove":
		if len(rest) == 0 {
			return fmt.Errorf("%s: the name of the network is missing", command)
		}
		if err := token.CheckName(rest[0]); err != nil {
			return err
		}
		rest = rest[1:]
	case "run":
	default:
		return fmt.Errorf("unknown command %.40q: it is setup, remove or run", command)
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%s: %.40q is an argument too much", command, rest[0])
	case o.name != "" && command != "setup":
		return fmt.Errorf("%s has no option --name", command)
	}
	return nil
}

// do does what the command line, which is good, says.
func (o options) do(ctx context.Context, stdout, stderr io.Writer) error {
	meshd := api.NewClient(o.socket)
	defer meshd.Close()
	if o.args[0] == "run" {
		newRunner(meshd, slog.New(slog.NewTextHandler(stderr, nil))).run(ctx, o.lxdSocket)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	lxd, err := connect(ctx, o.lxdSocket)
	if err != nil {
		return err
	}
	defer lxd.Disconnect()
	s := &settler{lxd: lxd, meshd: meshd, out: stdout}
	if o.args[0] == "remove" {
		return s.remove(ctx, o.args[1])
	}
	return s.setup(ctx, o.args[1], o.name)
}
