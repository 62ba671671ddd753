package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"meshnet/ipam"
	"meshnet/meshd/api"
)

// procPath is how plugins name the network namespace of a process.
var procPath = regexp.MustCompile(`^(/proc/[0-9]+)(/task/[0-9]+)?/ns/net$`)

// vouch says whether a container may live whose interface is not seen.
func vouch(l ipam.Lease, results results) (State, string) {
	path := l.Holder.NetNS
	if path == "" {
		return Unsure, "nobody has said in which network namespace it is"
	}
	if m := procPath.FindStringSubmatch(path); m != nil {
		return vouchProcess(m[1]+m[2], l.Holder.Source == string(api.SourceLXC))
	}
	var s unix.Statfs_t
	err := unix.Statfs(path, &s)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return Gone, fmt.Sprintf("neither its interface nor its network namespace %s is there", path)
	case err != nil:
		return Unsure, fmt.Sprintf("looking at its network namespace %s: %v", path, err)
	case s.Type == unix.NSFS_MAGIC:
		return Unsure, fmt.Sprintf("its interface is not there, but its network namespace %s is", path)
	}
	// What is left when a namespace was unmounted, or what is seen of one that was mounted where meshd cannot see it.
	if results.has(l.Attachment) {
		return Unsure, fmt.Sprintf("its interface is not there, and %s is no network namespace; but its runtime has the result of ADD", path)
	}
	return Gone, fmt.Sprintf("its interface is not there, and %s is no network namespace", path)
}

// vouchProcess says whether a process still lives. LXC's is a container's init: a process of that PID that is not the
// first of a PID namespace has the PID of one that ended.
func vouchProcess(dir string, isInit bool) (State, string) {
	status, err := os.ReadFile(dir + "/status")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return Gone, fmt.Sprintf("neither its interface nor its process %s is there", dir)
	case err != nil:
		return Unsure, fmt.Sprintf("looking at its process: %v", err)
	case isInit && !firstOfNamespace(status):
		return Gone, fmt.Sprintf("its interface is not there, and %s is no container's init any more", dir)
	}
	return Unsure, fmt.Sprintf("its interface is not there, but its process %s is", dir)
}

// firstOfNamespace reads the line NSpid of /proc/PID/status: the process's ID in each PID namespace from that of /proc
// inwards (proc_pid_status(5)). Without the line, in a kernel without PID namespaces, it cannot be told: true.
func firstOfNamespace(status []byte) bool {
	for line := range bytes.Lines(status) {
		if ids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			fields := bytes.Fields(ids)
			return len(fields) > 1 && string(fields[len(fields)-1]) == "1"
		}
	}
	return true
}

// results are the names of libcni's files of results: NETWORK-CONTAINER-IFNAME.
type results []string

// readResults lists a directory of results. There being none is an empty one.
func readResults(dir string) (results, error) {
	if dir == "" {
		dir = DefaultCNIResults
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r results
	for _, e := range entries {
		r = append(r, e.Name())
	}
	return r, nil
}

// has says whether there is a result for an attachment in any CNI network.
func (r results) has(a ipam.Attachment) bool {
	for _, name := range r {
		if strings.HasSuffix(name, "-"+a.Container+"-"+a.IfName) {
			return true
		}
	}
	return false
}
