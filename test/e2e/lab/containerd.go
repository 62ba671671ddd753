package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerdSocket is where containerd serves unless told otherwise.
const containerdSocket = "/run/containerd/containerd.sock"

// containerd1 and containerd2 are what an operator writes into /etc/containerd/config.toml, plus what the lab asks for: no
// registry, and no lower oom_score_adj than the test itself has, which a machine may refuse.
const (
	containerd1 = `version = 2
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + Image + `"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
`
	containerd2 = `version = 3
oom_score = 0
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "` + Image + `"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
`
)

// Containerd is a running containerd, and its CRI service. It has Image.
type Containerd struct {
	*Process
	Host *Host
	CRI  cri.RuntimeServiceClient
	args []string
	conn *grpc.ClientConn
}

// StartContainerd starts the containerd of Debian, which speaks CNI up to 1.0.0.
func (h *Host) StartContainerd() *Containerd {
	h.lab.tb.Helper()
	return h.startContainerd(containerd1, "containerd")
}

// StartContainerd2 starts the containerd of BuildContainerd, which speaks CNI 1.1.0.
func (h *Host) StartContainerd2(bin string) *Containerd {
	h.lab.tb.Helper()
	path := "PATH=" + bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" // its shim is looked up there
	return h.startContainerd(containerd2, "env", path, "containerd")
}

func (h *Host) startContainerd(config string, args ...string) *Containerd {
	tb := h.lab.tb
	tb.Helper()
	h.makeImage()
	h.Write("/etc/containerd/config.toml", config)
	// The log has every call of a plugin that failed.
	c := &Containerd{Host: h, args: append(args, "--log-level", "warn")}
	conn, err := grpc.NewClient("unix://"+h.Path(containerdSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatalf("%s: %v", h.Name, err)
	}
	tb.Cleanup(func() { conn.Close() })
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("containerd on %s:\n%s", h.Name, c.Err.String())
		}
	})
	c.conn, c.CRI = conn, cri.NewRuntimeServiceClient(conn)
	c.Restart()
	for _, users := range []string{"k8s.io", "default"} { // CRI's, and ctr's
		h.Output("ctr", "-n", users, "images", "import", "--snapshotter", "native", imageFile)
	}
	h.Until("CRI has the image "+Image, func() bool {
		images, err := cri.NewImageServiceClient(conn).ListImages(h.context(), &cri.ListImagesRequest{})
		return err == nil && strings.Contains(fmt.Sprint(images.Images), Image)
	}, nil)
	return c
}

// Tag gives Image another name for users of ctr. To pull that has nothing to do then.
func (c *Containerd) Tag(name string) {
	h := c.Host
	h.lab.tb.Helper()
	h.Output("ctr", "image", "tag", Image, name)
	pulls := "case \"$*\" in 'image pull " + name + "') exit 0;; esac\n"
	h.WriteProgram("ctr", pulls+inCgroup("/usr/bin/ctr", "--snapshotter", "native", "--cgroup", h.cgroup()+"/ctr"))
}

// Restart starts containerd, which does not run, on the data that it has, and waits until its CRI service answers.
func (c *Containerd) Restart() {
	h := c.Host
	h.lab.tb.Helper()
	c.Process = h.Start(c.args...)
	var err error
	h.Within(30*time.Second, "containerd's CRI service answers", func() bool {
		c.conn.ResetConnectBackoff()
		_, err = c.CRI.Version(h.context(), &cri.VersionRequest{})
		return err == nil
	}, func() string { return fmt.Sprint(err, "\n", c.Err.String()) })
}

// Kill9 is kill -9 of containerd alone: the shims and containers live on.
func (c *Containerd) Kill9() {
	c.Signal(syscall.SIGKILL)
	<-c.Done()
}

// containerdVersion is the containerd 2 that BuildContainerd builds.
const containerdVersion = "v2.4.2"

// BuildContainerd compiles containerd 2, which Debian does not have yet, from the Go module proxy, and returns the directory of its
// programs. That is in the user's cache, so the minute that it takes is spent once.
func BuildContainerd() (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "meshnet-lab", "containerd-"+containerdVersion+"-"+runtime.Version())
	programs := []string{"containerd", "containerd-shim-runc-v2"}
	if isFile(filepath.Join(dir, programs[0])) {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "building-") // whoever builds at the same time does not see a half of it
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	args := []string{"-n", "19", "go", "install", "-trimpath", "-tags", "no_btrfs,no_devmapper,no_zfs,no_tracing"}
	for _, p := range programs {
		args = append(args, "github.com/containerd/containerd/v2/cmd/"+p+"@"+containerdVersion)
	}
	cmd := exec.Command("nice", args...) // the tests beside it have deadlines
	cmd.Env = append(os.Environ(), "GOBIN="+fresh, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building containerd %s: %w: %s", containerdVersion, err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !isFile(filepath.Join(dir, programs[0])) {
		return "", err
	}
	return dir, nil
}
