// Meshd is the daemon of meshnet: it runs on every host and makes it a member of networks.
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
	"runtime"
	"slices"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/hub"
	"meshnet/meshd/udp"
)

// version is set by the build (-ldflags -X).
var version = "devel"

// Exit codes, the same as meshctl's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		fmt.Fprintf(stderr, "meshd: %v\n", err)
		return exitUsage
	}
	if opts.showVersion {
		fmt.Fprintf(stdout, "meshd %s\n", version)
		return exitDone
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: opts.LogLevel}))
	if err := serve(ctx, opts, log); err != nil {
		fmt.Fprintf(stderr, "meshd: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, opts options, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := checkPrivileges(); err != nil {
		return err
	}
	state, err := config.OpenState(opts.State)
	if err != nil {
		return err
	}
	defer state.Close()
	conns, err := listen(opts, log)
	if err != nil {
		return err
	}
	d := &daemon{
		nodeName: opts.Name,
		version:  version,
		started:  time.Now(),
		hub:      hub.New(ports(conns), log),
		conns:    slices.Concat(conns...),
		without:  opts.Without,
		relay:    opts.Relay,
		state:    state,
		log:      log,
		ctx:      ctx,
		networks: make(map[string]*network),
		declared: make(map[string]bool),
	}
	defer d.tasks.Wait()
	defer cancel()

	failed := make(chan error, 2)
	d.tasks.Go(func() { failed <- d.hub.Run(ctx) })
	d.logOffloads(d.offloads())
	server := api.NewServer(d, log)
	serveProfiles(server)
	listener, err := api.Listen(opts.Socket, opts.Group)
	if err != nil {
		return err
	}
	d.begin()
	if err := d.declare(opts.Networks); err != nil {
		return errors.Join(err, listener.Close())
	}
	d.tasks.Go(func() { failed <- server.Serve(ctx, listener) })
	log.Info("meshd is ready", "version", version, "socket", opts.Socket, "listen", d.hub.Addrs(), "node", opts.Name)
	notify(log, sdnotify.SdNotifyReady)

	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	notify(log, sdnotify.SdNotifyStopping)
	log.Info("meshd is stopping")
	return err
}

// checkPrivileges says at once what would else fail with the first network.
func checkPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading this process's capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("the capability CAP_NET_ADMIN is missing, which TAP devices and bridges need; run meshd as root")
	}
	return nil
}

// notify tells systemd, if it started us.
func notify(log *slog.Logger, state string) {
	if _, err := sdnotify.SdNotify(false, state); err != nil {
		log.Warn("telling systemd failed", "state", state, "err", err)
	}
}

// listen opens the UDP sockets, for each address some lanes. An address without a literal host stands for both families; then one of
// them may be missing on this host.
func listen(opts options, log *slog.Logger) ([][]*udp.Conn, error) {
	var conns [][]*udp.Conn
	fail := func(err error) ([][]*udp.Conn, error) {
		for _, c := range slices.Concat(conns...) {
			err = errors.Join(err, c.Close())
		}
		return nil, err
	}
	for _, text := range opts.Listen {
		addrs, err := udp.Expand(text)
		if err != nil {
			return fail(err)
		}
		for _, addr := range addrs {
			lanes, err := udp.ListenLanes(udp.Config{
				Addr: addr, Mark: opts.FWMark, Socket: uint8(len(conns) + 1), Off: udpOff(opts.Without), Log: log,
			}, runtime.NumCPU())
			if errors.Is(err, udp.ErrNoFamily) && len(addrs) > 1 {
				log.Info("this host lacks an address family", "addr", addr, "err", err)
				continue
			}
			if err != nil {
				return fail(err)
			}
			conns = append(conns, lanes)
		}
	}
	if len(conns) == 0 {
		return nil, fmt.Errorf("none of the addresses %v can be listened on", opts.Listen)
	}
	return conns, nil
}

// ports returns conns as the hub wants them.
func ports(conns [][]*udp.Conn) [][]hub.Socket {
	all := make([][]hub.Socket, len(conns))
	for i, lanes := range conns {
		for _, c := range lanes {
			all[i] = append(all[i], c)
		}
	}
	return all
}
