package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// tools are the Debian packages that measuring itself takes, by one program of each.
var tools = map[string]string{"iperf3": "iperf3", "ping": "iputils-ping", "ethtool": "ethtool", "nft": "nftables", "ip": "iproute2", "busybox": "busybox-static"}

// debian returns the path of a program, after installing its package if it is missing.
func (w *workshop) debian(program, pkg string) (string, error) {
	if path, err := lookup(program); err == nil {
		return path, nil
	}
	if !w.apt {
		return "", fmt.Errorf("%s is not installed: apt-get install %s, or run with -install", program, pkg)
	}
	fmt.Fprintf(os.Stderr, "installing the Debian package %s\n", pkg)
	install := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", pkg}
	err := output(install...)
	if err != nil { // the lists may be old, or none
		if err = output("apt-get", "update"); err == nil {
			err = output(install...)
		}
	}
	if err != nil {
		return "", err
	}
	return lookup(program)
}

// lookup finds a program, also in the directories of root's path that a user's path may lack.
func lookup(program string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}

// module builds commands of a Go module with `go install` and returns the directory they are in. The versions are
// tried in order: the newest may want a newer Go, or a module that the proxy does not have.
func (w *workshop) module(module string, packages []string, versions ...string) (dir, version string, err error) {
	var why []string
	for _, v := range versions {
		dir := filepath.Join(w.cache, filepath.Base(module)+"@"+v)
		if v != "latest" && haveAll(dir, module, packages) {
			return dir, v, nil
		}
		args := []string{"install"}
		for _, p := range packages {
			args = append(args, module+p+"@"+v)
		}
		fmt.Fprintf(os.Stderr, "building %s@%s\n", module, v)
		cmd := exec.Command("go", args...)
		cmd.Dir = "/" // no module's
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		out, err := cmd.CombinedOutput()
		if err == nil || haveAll(dir, module, packages) { // of an earlier run: the proxy may be out of reach
			return dir, buildVersion(filepath.Join(dir, filepath.Base(module+packages[0])), v), nil
		}
		why = append(why, fmt.Sprintf("go install %s@%s: %s", module, v, lastLines(string(out), 2)))
	}
	return "", "", errors.New(strings.Join(why, "; "))
}

func haveAll(dir, module string, packages []string) bool {
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(module+p))); err != nil {
			return false
		}
	}
	return true
}

var moduleLine = regexp.MustCompile(`(?m)^\s+mod\s+\S+\s+(\S+)`)

// buildVersion returns the version of the main module in a Go program, or otherwise.
func buildVersion(path, otherwise string) string {
	out, err := exec.Command("go", "version", "-m", path).Output()
	if m := moduleLine.FindSubmatch(out); err == nil && m != nil {
		return string(m[1])
	}
	return otherwise
}

// packageVersion returns the version of an installed Debian package.
func packageVersion(pkg string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pkg).Output()
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(out))
}
