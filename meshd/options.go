package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"meshnet/meshd/config"
	"meshnet/meshd/token"
)

// options are what the command line and the configuration file say together.
type options struct {
	config.Config
	showVersion bool
}

const usage = `NAME
    meshd - the daemon of meshnet

SYNOPSIS
    meshd [--state DIR] [--socket PATH] [--listen ADDR:PORT]... [--config FILE]
          [--name NAME] [--log-level LEVEL] [--no-relay] [--without OFFLOAD]...

DESCRIPTION
    meshd makes this host a member of its networks: it keeps an encrypted session with
    every other member, switches Ethernet frames between them and a bridge, and gives
    containers their addresses. meshctl(1) and the plugins of container runtimes ask it
    over a Unix socket. It needs to be root (CAP_NET_ADMIN), /dev/net/tun, and one UDP port.

    Networks are made and joined with meshctl, or declared in the configuration file.
    They come back by themselves when meshd or the host is restarted. Containers keep
    their interfaces and addresses while meshd is away.

OPTIONS
    --state DIR         where identities, keys and leases are kept (/var/lib/meshnet)
    --socket PATH       the Unix socket of the API (/run/meshnet/meshd.sock)
    --listen ADDR:PORT  a UDP address to use; without ADDR, all addresses of both
                        families (:7000); may be repeated
    --config FILE       a TOML file that says these options and declares networks;
                        what the command line says too is taken from there
    --name NAME         this host's name in its networks (the host's name)
    --log-level LEVEL   debug, info, warn or error (info)
    --no-relay          do not pass on what members of this host's networks send each
                        other that cannot reach each other
    --without OFFLOAD   do not use tap-checksum, tap-tso, tap-uso, udp-gso,
                        udp-gro or udp-lanes,
                        while a fault is hunted; may be repeated
    --version           print the version
    --help              print this

EXIT STATUS
    0  stopped by SIGTERM or SIGINT
    1  failed; the last line on stderr says why
    2  wrong usage

FILES
    /var/lib/meshnet/networks/NAME/network.json   identity and secret of a network
    /var/lib/meshnet/networks/NAME/leases/        the journal of this host's leases
    /run/meshnet/meshd.sock                       the API: HTTP and JSON; group meshnet

EXAMPLES
    meshd
    meshd --listen 203.0.113.5:7000 --listen '[2001:db8::5]:7000'
    meshd --config /etc/meshnet/meshd.toml

SEE ALSO
    meshctl --help, docs/operations.md
`

// parseOptions reads the command line and the file it names.
func parseOptions(args []string, stdout io.Writer) (options, error) {
	flags := flag.NewFlagSet("meshd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	said := config.Default()
	var file, level string
	var listen, without []string
	var noRelay, showVersion bool
	flags.StringVar(&said.State, "state", said.State, "")
	flags.StringVar(&said.Socket, "socket", said.Socket, "")
	flags.Func("listen", "", func(s string) error { listen = append(listen, s); return nil })
	flags.StringVar(&file, "config", "", "")
	flags.StringVar(&said.Name, "name", said.Name, "")
	flags.StringVar(&level, "log-level", "info", "")
	flags.Func("without", "", func(s string) error { without = append(without, s); return nil })
	flags.BoolVar(&noRelay, "no-relay", false, "")
	flags.BoolVar(&showVersion, "version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return options{}, err
	case err != nil:
		return options{}, fmt.Errorf("%w; see meshd --help", flagError(args, flags.Args(), err))
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("there is an argument too much: %q; see meshd --help", flags.Arg(0))
	case showVersion:
		return options{showVersion: true}, nil
	}

	c := config.Default()
	if file != "" {
		var err error
		if c, err = config.Load(file, c); err != nil {
			return options{}, err
		}
	}
	var err error
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "state":
			c.State = said.State
		case "socket":
			c.Socket = said.Socket
		case "listen":
			c.Listen = listen
			err = errors.Join(err, named("--listen", config.CheckListen(listen)))
		case "no-relay":
			c.Relay = !noRelay
		case "without":
			c.Without = without
			err = errors.Join(err, named("--without", config.CheckWithout(without)))
		case "name":
			c.Name = said.Name
			err = errors.Join(err, named("--name", token.CheckNodeName(said.Name)))
		case "log-level":
			var levelErr error
			c.LogLevel, levelErr = config.ParseLevel(level)
			err = errors.Join(err, named("--log-level", levelErr))
		}
	})
	return options{Config: c}, err
}

// named says which flag err is about, if it is one.
func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// flagError returns err, which package flag made of args without the rest, with the flag as it was typed: the package
// writes one dash before each.
func flagError(args, rest []string, err error) error {
	text := err.Error()
	if strings.HasPrefix(text, "bad flag syntax") { // shows what was typed, and leaves it in rest
		return err
	}
	typed, _, _ := strings.Cut(args[len(args)-len(rest)-1], "=")
	switch {
	case strings.HasPrefix(text, "flag provided but not defined"):
		return fmt.Errorf("there is no flag %s", typed)
	case strings.HasPrefix(text, "flag needs an argument"):
		return fmt.Errorf("%s needs a value", typed)
	case strings.HasPrefix(text, "invalid boolean value"):
		return fmt.Errorf("%s takes no value", typed)
	}
	return err
}
