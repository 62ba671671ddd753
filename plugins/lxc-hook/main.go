package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
	"meshnet/plugins/lxcconf"
)

// version is set by the build (-ldflags -X).
var version = "devel"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// timeout limits one run.
const timeout = 30 * time.Second

// options are the hook's own arguments.
type options struct {
	socket, network, ifname string
	ipv4                    string // as in api.AttachOptions; "": what the container's configuration says
}

// errVersion says that the hook is asked for its version.
var errVersion = errors.New("--version")

func main() {
	o, args, err := parseOptions(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		return
	case errors.Is(err, errVersion):
		fmt.Println("lxc-hook", version)
		return
	}
	var e event
	if err == nil {
		e, err = parseEvent(args, os.Getenv)
	}
	code := exitUsage
	if err == nil {
		code, err = exitFailed, run(o, e)
	}
	if err == nil {
		return
	}
	name := e.container
	if name == "" {
		name = os.Getenv("LXC_NAME")
	}
	tell(name, message(name, err))
	if e.kind == netDown || e.kind == stop || e.kind == postStop {
		return // the container stops all the same
	}
	os.Exit(code)
}

func parseOptions(args []string) (options, []string, error) {
	var o options
	f := flag.NewFlagSet("lxc-hook", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.socket, "socket", api.DefaultSocket, "")
	f.StringVar(&o.network, "network", "", "")
	f.StringVar(&o.ifname, "ifname", "eth0", "")
	showVersion := f.Bool("version", false, "")
	f.StringVar(&o.ipv4, "ipv4", "", "")
	if err := f.Parse(args); err != nil {
		return o, nil, err
	}
	if *showVersion {
		return o, nil, errVersion
	}
	return o, f.Args(), nil
}

// message makes err one line that says where it comes from.
func message(container string, err error) string {
	text := "lxc-hook: " + err.Error()
	if container != "" {
		text = fmt.Sprintf("lxc-hook: container %s: %v", container, err)
	}
	return strings.Join(strings.Fields(text), " ")
}

// run does what the event asks for.
func run(o options, e event) error {
	if e.reboot {
		return nil // the container starts again at once, with the same lease
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	client := api.NewClient(o.socket)
	r := attach.Request{
		Network:   o.network,
		Container: e.container,
		IfName:    o.ifname,
		PID:       e.pid,
		Source:    api.SourceLXC,
		HostLink:  e.peer,
	}
	switch e.kind {
	case netUp, startHost:
		o.chooseIPv4(e, &r)
		if _, err := attach.Add(ctx, client, r); err != nil {
			return fmt.Errorf("attaching %s: %w", o.ifname, err)
		}
		return nil
	}
	if err := attach.Del(ctx, client, r); err != nil {
		return fmt.Errorf("detaching %s: %w", o.ifname, err)
	}
	return nil
}

// chooseIPv4 puts into a request the address that is asked for: by the hook's option, which goes first, or, for a veth that
// LXC makes, in the container's configuration. LXC sets the latter itself.
func (o options) chooseIPv4(e event, r *attach.Request) {
	r.IPv4 = o.ipv4
	if e.kind != netUp {
		return
	}
	configured := lxcconf.ConfiguredIPv4(e.config, o.ifname)
	if r.IPv4 == "" && configured.IsValid() {
		r.IPv4 = configured.Addr().String()
	}
	if r.IPv4 == configured.Addr().String() {
		r.RuntimeIPv4 = configured
	}
}
