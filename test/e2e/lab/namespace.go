package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hold is process 1 of a host. Its standard input is a pipe from the lab, its arguments the host's name and directory
// and the lab's cgroup. `ip netns exec` would hide /sys/fs/cgroup from LXC, and without an own /sys LXC does not find
// the host's bridges: hence the dance with /sys. /etc and /opt are the machine's until the host writes to them; the
// directories of runtimes outlive a reboot as those of a disk do.
const hold = `set -e
exec 3<&0
host=$1 dir=$2 cgroup=$3
mount --make-rslave /
mount -t proc proc /proc
hostname "$host"
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/cgroup /run/netns /run/lock
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
if [ -n "$dir" ]; then
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mkdir -p /var/lib/cni /var/lib/lxc /var/lib/rootfs /var/lib/meshnet
	mount --bind "$dir/state" /var/lib/meshnet
	mount --bind "$dir/../rootfs" /var/lib/rootfs
	for own in etc opt; do
		mkdir -p /run/own/$own/upper /run/own/$own/work
		mount -t overlay -o "lowerdir=/$own,upperdir=/run/own/$own/upper,workdir=/run/own/$own/work" own /$own
	done
	mkdir -p /etc/cni/net.d /etc/containers /etc/containerd /opt/cni/bin
	mount --bind "$dir/cni" /etc/cni/net.d
	mount --bind "$dir/plugins" /opt/cni/bin
	for lib in cni containerd containers docker; do
		mkdir -p "$dir/lib/$lib" /var/lib/$lib
		mount --bind "$dir/lib/$lib" /var/lib/$lib
	done
	for f in subuid subgid; do [ ! -e /etc/$f ] || mount --bind "$dir/../$f" /etc/$f; done
fi
echo ready
set +e
cat <&3 >/dev/null &
wait $!
kill -KILL -1
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	mine=$(find /sys/fs/cgroup -depth -type d \( -path "*/$cgroup/$host" -o -path "*/$cgroup/$host/*" \))
	[ -n "$mine" ] || break
	rmdir $mine || sleep 0.05
done 2>/dev/null
rmdir $(find /sys/fs/cgroup -type d -path "*/$cgroup") 2>/dev/null # the last host of the lab succeeds
`

// namespace is a set of kernel namespaces (net, mount, uts, pid) and the process 1 that holds them.
type namespace struct {
	name   string
	holder *exec.Cmd
	pipe   *os.File // the holder lives as long as this end is open
	closed bool
}

// namespace starts one and registers its end. dir is the host's directory, or empty for the underlay.
func (l *Lab) namespace(name, dir string) *namespace {
	l.tb.Helper()
	ns, err := newNamespace(name, dir, l.cgroup)
	if err != nil {
		l.tb.Fatalf("making the namespaces of %s: %v", name, err)
	}
	l.tb.Cleanup(ns.close)
	return ns
}

func newNamespace(name, dir, cgroup string) (*namespace, error) {
	in, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	ns := &namespace{name: name, pipe: pipe, holder: exec.Command("/bin/sh", "-c", hold, "sh", name, dir, cgroup)}
	ns.holder.Stdin = in
	var complaint strings.Builder
	ns.holder.Stderr = &complaint
	ns.holder.WaitDelay = time.Second
	ns.holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID,
		Setpgid:    true, // so that Ctrl-C reaches only us
	}
	out, err := ns.holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ns.holder.Start(); err != nil {
		pipe.Close()
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		pipe.Close()
		ns.holder.Wait()
		return nil, fmt.Errorf("its process 1 ended early: %s", strings.TrimSpace(complaint.String()))
	}
	return ns, nil
}

// close ends everything in the namespaces and waits for it. It may be called twice.
func (ns *namespace) close() {
	if ns.closed {
		return
	}
	ns.closed = true
	ns.pipe.Close()
	last := time.AfterFunc(5*time.Second, func() { ns.holder.Process.Kill() })
	ns.holder.Wait()
	last.Stop()
}

// path returns the path by which this process reaches a file of the host: its mounts are seen, too.
func (ns *namespace) path(file string) string {
	return fmt.Sprintf("/proc/%d/root%s", ns.holder.Process.Pid, file)
}

// kind is one kind of kernel namespace: its name in /proc/PID/ns and its flag for setns.
type kind struct {
	name string
	flag int
}

var (
	network = []kind{{"net", unix.CLONE_NEWNET}}
	all     = []kind{{"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}}
)

// do calls f on a thread that is in the namespaces of these kinds. The thread dies with the call, so f can leave it
// in any state, but must not keep it.
func (ns *namespace) do(kinds []kind, f func() error) error {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, k := range kinds {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/%s", ns.holder.Process.Pid, k.name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening the %s namespace of %s: %w", k.name, ns.name, err)
		}
		fds = append(fds, fd)
	}
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns into a mount namespace asks for it
			return err
		}
		for i, fd := range fds {
			if err := unix.Setns(fd, kinds[i].flag); err != nil {
				return fmt.Errorf("entering the %s namespace of %s: %w", kinds[i].name, ns.name, err)
			}
		}
		return f()
	})
}

// onOwnThread calls f on an OS thread that nothing else uses before or after.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		result <- f()
	}()
	return <-result
}
