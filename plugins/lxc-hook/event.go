package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// kind says which hook LXC runs.
type kind string

// The hooks that this program can be, by the names that LXC gives them.
const (
	netUp     kind = "up"         // lxc.net.N.script.up: the veth is there, not yet renamed, and down inside
	netDown   kind = "down"       // lxc.net.N.script.down
	startHost kind = "start-host" // lxc.hook.start-host: the container's namespaces are there, init has not run
	stop      kind = "stop"       // lxc.hook.stop
	postStop  kind = "post-stop"  // lxc.hook.post-stop
)

// event is one run of a hook.
type event struct {
	kind      kind
	container string
	pid       int    // of the container's init, in up and start-host
	netType   string // in up and down: veth, phys, ...
	peer      string // in up and down, of veth: the host's end
	config    string // path of the container's configuration
	reboot    bool   // in stop and post-stop: the container starts again at once
}

// parseEvent reads what LXC passes: args, which follow the hook's own arguments, and the environment.
//
// Version 0 (lxc.hook.version = 0, the default): NAME net up|down TYPE [LINK] [PEER], or NAME lxc HOOK.
// Version 1: everything in LXC_HOOK_SECTION, LXC_HOOK_TYPE, LXC_NET_TYPE, LXC_NET_PEER; LXC 5 passes TYPE [LINK] [PEER]
// as arguments as well. LXC_NAME, LXC_PID, LXC_CONFIG_FILE and
// LXC_TARGET are there in both.
//
// LXC 5 sets variables in its own environment and leaves them there. So outside their own hooks they speak of the past:
// LXC_NET_* in the hooks of section lxc, and LXC_TARGET wherever the container is not stopping. In script.down too,
// LXC_TARGET is that of the stop before this one.
func parseEvent(args []string, getenv func(string) string) (event, error) {
	e := event{container: getenv("LXC_NAME"), config: getenv("LXC_CONFIG_FILE")}
	var section string
	if getenv("LXC_HOOK_TYPE") != "" { // version 1
		section, e.kind = getenv("LXC_HOOK_SECTION"), kind(getenv("LXC_HOOK_TYPE"))
		if section == "net" {
			e.netType, e.peer = getenv("LXC_NET_TYPE"), getenv("LXC_NET_PEER")
		}
	} else {
		if len(args) < 3 {
			return event{}, errors.New("it is run by LXC, from a container's configuration (lxc-hook --help)")
		}
		e.container, section, e.kind = args[0], args[1], kind(args[2])
		if section == "net" {
			e.netType, e.peer = netArgs(args[3:])
		}
	}
	if e.kind == stop || e.kind == postStop {
		e.reboot = getenv("LXC_TARGET") == "reboot"
	}
	return e, e.check(section, getenv("LXC_PID"))
}

// netArgs reads TYPE [LINK] [PEER]. Of a veth, the peer is last, with or without a link.
func netArgs(args []string) (netType, peer string) {
	if len(args) > 0 {
		netType = args[0]
	}
	if netType == "veth" && len(args) > 1 {
		peer = args[len(args)-1]
	}
	return netType, peer
}

// check checks the event, and reads the PID where one is needed.
func (e *event) check(section, pid string) error {
	if e.container == "" {
		return errors.New("LXC has not passed the container's name (LXC_NAME)")
	}
	want := map[string][]kind{"net": {netUp, netDown}, "lxc": {startHost, stop, postStop}}
	if !slices.Contains(want[section], e.kind) {
		return fmt.Errorf("it cannot be hook %q of section %q; it is made for lxc.net.N.script.up and .down, lxc.hook.start-host, .stop and .post-stop", e.kind, section)
	}
	if e.kind != netUp && e.kind != startHost {
		return nil
	}
	if e.kind == netUp && (e.netType != "veth" || e.peer == "") {
		return fmt.Errorf("script.up works with lxc.net.N.type = veth, not %q; for type = empty, use lxc.hook.start-host and lxc.hook.post-stop", e.netType)
	}
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return fmt.Errorf("LXC has passed %q as the PID of the container's init (LXC_PID); LXC 3.2 or later is needed", pid)
	}
	e.pid = n
	return nil
}
