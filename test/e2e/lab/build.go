package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles everything that runs on a host into dir: meshd, meshctl, the plugins, meshnet-lxd and cnitool, the reference
// caller of CNI plugins. What is in dir already is left alone.
func Build(dir string) error {
	programs := []string{
		"meshnet/meshd", "meshnet/meshctl", "meshnet/plugins/cni-meshnet", "meshnet/plugins/cni-meshnet-ipam", "meshnet/plugins/lxc-hook",
		"github.com/containernetworking/cni/cnitool",
	}
	args := []string{"build", "-o", dir + "/"}
	for _, p := range programs {
		if !isFile(filepath.Join(dir, filepath.Base(p))) {
			args = append(args, p)
		}
	}
	if len(args) > 3 {
		if err := compile(args...); err != nil {
			return err
		}
	}
	if program := filepath.Join(dir, "meshnet-lxd"); !isFile(program) { // not called as its folder
		return compile("build", "-o", program, "meshnet/plugins/lxd")
	}
	return nil
}

func compile(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs under test: %w: %s", err, out)
	}
	return nil
}

// containerUID is the user on the host that root in an unprivileged container is.
const containerUID = 100000

// rootfs makes the root file systems of all containers of this Lab, with busybox as every command: rootfs/root
// belongs to root, rootfs/mapped to the user that an unprivileged container's root is.
func (l *Lab) rootfs() error {
	dir := filepath.Join(l.dir, "rootfs")
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w (`make deps` installs it)", err)
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("listing busybox's commands: %w", err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	for uid, name := range map[int]string{0: "root", containerUID: "mapped"} {
		if err := busyboxRoot(filepath.Join(dir, name), uid, program, strings.Fields(string(list))); err != nil {
			return err
		}
	}
	mapping := fmt.Appendf(nil, "root:%d:65536\n", containerUID)
	for _, f := range []string{"subuid", "subgid"} {
		if err := os.WriteFile(filepath.Join(l.dir, f), mapping, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func busyboxRoot(dir string, uid int, busybox []byte, commands []string) error {
	for _, d := range []string{"bin", "sbin", "dev", "proc", "sys", "etc", "tmp", "root", "run", "var", "usr/bin", "usr/sbin", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, c := range commands {
		if c == "busybox" {
			continue
		}
		if err := os.Symlink("/bin/busybox", filepath.Join(dir, "bin", c)); err != nil {
			return err
		}
	}
	files := map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/hosts": "::1 localhost\n", "etc/resolv.conf": ""}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
}
