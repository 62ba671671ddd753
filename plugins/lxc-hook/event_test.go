package main

import (
	"strings"
	"testing"
)

// The rows are what LXC 5.0.2 passes; the hook's own arguments are gone.
func TestParseEvent(t *testing.T) {
	v0 := map[string]string{"LXC_NAME": "c1", "LXC_PID": "42", "LXC_HOOK_VERSION": "0"}
	v1 := func(section, kind string, more ...string) map[string]string {
		env := map[string]string{
			"LXC_NAME": "c1", "LXC_PID": "42", "LXC_HOOK_VERSION": "1",
			"LXC_HOOK_SECTION": section, "LXC_HOOK_TYPE": kind,
		}
		for _, m := range more {
			key, value, _ := strings.Cut(m, "=")
			env[key] = value
		}
		return env
	}
	rows := []struct {
		name string
		args string
		env  map[string]string
		want event
		err  string // a part of it
	}{
		{name: "v0 up", args: "c1 net up veth vethA", env: v0,
			want: event{kind: netUp, container: "c1", pid: 42, netType: "veth", peer: "vethA"}},
		{name: "v0 up with link", args: "c1 net up veth br0 vethA", env: v0,
			want: event{kind: netUp, container: "c1", pid: 42, netType: "veth", peer: "vethA"}},
		{name: "v0 down", args: "c1 net down veth br0 vethA", env: v0,
			want: event{kind: netDown, container: "c1", netType: "veth", peer: "vethA"}},
		{name: "v0 start-host", args: "c1 lxc start-host", env: v0,
			want: event{kind: startHost, container: "c1", pid: 42}},
		{name: "v0 post-stop", args: "c1 lxc post-stop", env: map[string]string{"LXC_NAME": "c1", "LXC_TARGET": "stop"},
			want: event{kind: postStop, container: "c1"}},
		{name: "v0 reboot", args: "c1 lxc post-stop", env: map[string]string{"LXC_NAME": "c1", "LXC_TARGET": "reboot"},
			want: event{kind: postStop, container: "c1", reboot: true}},
		{name: "v0 up after a reboot", args: "c1 net up veth vethA",
			env:  map[string]string{"LXC_NAME": "c1", "LXC_PID": "43", "LXC_TARGET": "reboot"},
			want: event{kind: netUp, container: "c1", pid: 43, netType: "veth", peer: "vethA"}},
		{name: "v0 down of a stop after a reboot", args: "c1 net down veth vethA",
			env:  map[string]string{"LXC_NAME": "c1", "LXC_PID": "43", "LXC_TARGET": "reboot"},
			want: event{kind: netDown, container: "c1", netType: "veth", peer: "vethA"}},
		{name: "v0 stop with namespaces", args: "c1 lxc stop mnt:/proc/9/fd/36 net:/proc/9/fd/40",
			env: map[string]string{"LXC_TARGET": "stop"}, want: event{kind: stop, container: "c1"}},
		{name: "v0 up of type empty", args: "c1 net up empty", env: v0, err: "start-host"},
		{name: "v0 up of type phys", args: "c1 net up phys eth1", env: v0, err: `not "phys"`},
		{name: "v0 another hook", args: "c1 lxc pre-start", env: v0, err: `hook "pre-start"`},
		{name: "v0 net hook in section lxc", args: "c1 lxc up", env: v0, err: `hook "up" of section "lxc"`},
		{name: "v0 no PID", args: "c1 lxc start-host", env: map[string]string{"LXC_NAME": "c1"}, err: "LXC_PID"},
		{name: "v0 bad PID", args: "c1 lxc start-host", env: map[string]string{"LXC_PID": "-3"}, err: "LXC_PID"},
		{name: "by hand", err: "--help"},
		{name: "by hand, with words", args: "a b", err: "--help"},

		{name: "v1 up", args: "veth vethA", env: v1("net", "up", "LXC_NET_TYPE=veth", "LXC_NET_PEER=vethA"),
			want: event{kind: netUp, container: "c1", pid: 42, netType: "veth", peer: "vethA"}},
		{name: "v1 up with link", args: "veth br0 vethA",
			env:  v1("net", "up", "LXC_NET_TYPE=veth", "LXC_NET_PARENT=br0", "LXC_NET_PEER=vethA"),
			want: event{kind: netUp, container: "c1", pid: 42, netType: "veth", peer: "vethA"}},
		{name: "v1 up without arguments", env: v1("net", "up", "LXC_NET_TYPE=veth", "LXC_NET_PEER=vethA"),
			want: event{kind: netUp, container: "c1", pid: 42, netType: "veth", peer: "vethA"}},
		{name: "v1 down", args: "veth vethA", env: v1("net", "down", "LXC_NET_TYPE=veth", "LXC_NET_PEER=vethA"),
			want: event{kind: netDown, container: "c1", netType: "veth", peer: "vethA"}},
		{name: "v1 start-host", env: v1("lxc", "start-host"), want: event{kind: startHost, container: "c1", pid: 42}},
		{name: "v1 start-host after script.up and a reboot",
			env:  v1("lxc", "start-host", "LXC_NET_TYPE=veth", "LXC_NET_PEER=vethA", "LXC_TARGET=reboot"),
			want: event{kind: startHost, container: "c1", pid: 42}},
		{name: "v1 stop", env: v1("lxc", "stop", "LXC_TARGET=stop"), want: event{kind: stop, container: "c1"}},
		{name: "v1 reboot", env: v1("lxc", "post-stop", "LXC_TARGET=reboot"),
			want: event{kind: postStop, container: "c1", reboot: true}},
		{name: "v1 LXD's phys", args: "phys vethA", env: v1("net", "up", "LXC_NET_TYPE=phys", "LXC_NET_PARENT=vethA"),
			err: `not "phys"`},
		{name: "v1 no name", env: v1("lxc", "start-host", "LXC_NAME="), err: "LXC_NAME"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, err := parseEvent(strings.Fields(row.args), func(key string) string { return row.env[key] })
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) {
					t.Fatalf("parseEvent(%q) error = %v, want one with %q", row.args, err, row.err)
				}
				return
			}
			if err != nil || got != row.want {
				t.Errorf("parseEvent(%q) = %+v, %v, want %+v", row.args, got, err, row.want)
			}
		})
	}
}

// Whatever LXC passes, an event that is not an error has a container, and a PID where the hook needs one.
func FuzzParseEvent(f *testing.F) {
	f.Add("c1 net up veth br0 vethA", "", "42", "")
	f.Add("c1 lxc post-stop", "", "", "reboot")
	f.Add("", "start-host", "42", "")
	f.Fuzz(func(t *testing.T, args, hook, pid, target string) {
		env := map[string]string{"LXC_NAME": "c1", "LXC_HOOK_TYPE": hook, "LXC_HOOK_SECTION": "lxc", "LXC_PID": pid, "LXC_TARGET": target}
		e, err := parseEvent(strings.Fields(args), func(key string) string { return env[key] })
		if err != nil {
			return
		}
		if e.container == "" || e.kind == startHost && e.pid <= 0 || e.kind == netUp && (e.pid <= 0 || e.peer == "") {
			t.Errorf("parseEvent(%q, type %q, PID %q) = %+v", args, hook, pid, e)
		}
	})
}

func TestIsStarter(t *testing.T) {
	rows := []struct {
		cmdline string // spaces for zero bytes
		want    bool
	}{
		{"lxc-start -n c1", true},
		{"/usr/bin/lxc-start -P /lxc -F -nc1", true},
		{"lxc-start --name=c1 -d", true},
		{"lxc-start c1", true},
		{"lxc-start -n c10", false},
		{"lxc-stop -n c1", false},
		{"sh -c lxc-start -n c1", false},
		{"[lxc monitor] /var/lib/lxc c1", false},
		{"", false},
	}
	for _, row := range rows {
		if got := isStarter([]byte(strings.ReplaceAll(row.cmdline, " ", "\x00")+"\x00"), "c1"); got != row.want {
			t.Errorf("isStarter(%q, c1) = %v, want %v", row.cmdline, got, row.want)
		}
	}
}

func TestMessageIsOneLine(t *testing.T) {
	err := lines{"attaching eth0: first", "second"}
	want := "lxc-hook: container c1: attaching eth0: first second"
	if got := message("c1", err); got != want {
		t.Errorf("message = %q, want %q", got, want)
	}
}

type lines []string

func (l lines) Error() string { return strings.Join(l, "\n") }
