package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// busyboxImage is the image in the commands of docs/operations.md. In the lab it is lab.Image, and nobody pulls it.
const busyboxImage = "docker.io/library/busybox:latest"

// What docs/operations.md says under "CNI, step by step" works as it is typed: each of its blocks is run by a shell, where only sudo,
// apt-get and the pulling of an image are the lab's.
//
//	a: containerd, podman, Docker ══ underlay ══ b: podman
func TestCNIStory(t *testing.T) {
	l := newLab(t)
	hosts := l.Hosts("a", "b")
	a, b := hosts[0], hosts[1]
	mesh(t, "prod", hosts...)
	for _, h := range hosts {
		h.WriteProgram("sudo", "exec \"$@\"\n")
		h.WriteProgram("apt-get", "exit 0\n") // make deps has installed it
		h.InstallPodman()
		h.Output("podman", "tag", lab.Image, busyboxImage)
	}
	a.StartContainerd().Tag(busyboxImage)
	a.StartDocker()
	a.Output("docker", "tag", lab.Image, busyboxImage)
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, story, _ := strings.Cut(string(docs), "\n## CNI, step by step\n")
	story, _, _ = strings.Cut(story, "\n## ")
	blocks := blocksOf(story)
	if len(blocks) != 6 {
		t.Fatalf("blocks in the story = %d, want 6:\n%s", len(blocks), strings.Join(blocks, "\n--\n"))
	}
	install, ctr, configure, serve, fetch, docker := blocks[0], blocks[1], blocks[2], blocks[3], blocks[4], blocks[5]

	for _, h := range hosts {
		typed(t, h, readmeLine(t, "sudo meshctl cni config prod"))
		typed(t, h, install)
		typed(t, h, configure)
	}
	if out := typed(t, a, ctr); !strings.Contains(out, "inet 10.77.") || !strings.Contains(out, "inet6 fd") {
		t.Errorf("ip addr in a container of ctr says\n%s", out)
	}
	onlyLeases(t, a, 0)
	typed(t, a, serve)
	if out := typed(t, b, fetch); !strings.Contains(out, "root:x:0:") {
		t.Errorf("what web serves = %q, want its /etc/group", out)
	}
	onlyLeases(t, b, 0)
	if web := a.RunningPodman("web"); web.IPv4().String() != "10.77.100.1" {
		t.Errorf("address of web = %v, want 10.77.100.1", web.IPv4())
	}
	typed(t, a, docker)
	b.CNI("prod", "tool")
	if _, err := pingUntil(b.NetNS("tool"), a.RunningDocker("app").IPv4(), waitMesh); err != nil {
		t.Error(err)
	}
}

// readmeLine returns the line of README.md that begins with a command.
func readmeLine(t *testing.T, command string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(strings.TrimSpace(line), command) {
			return line
		}
	}
	t.Fatalf("README.md has no line %q", command)
	return ""
}

// typed runs commands in a shell of the host; each has to succeed.
func typed(t *testing.T, h *lab.Host, commands string) string {
	t.Helper()
	r := h.Try("sh", "-e", "-c", commands)
	if r.Code != 0 {
		t.Fatalf("%s: exit %d: %s\n%s", h.Name, r.Code, r.Stdout+r.Stderr, commands)
	}
	return r.Stdout
}

// blocksOf returns the indented blocks of a text in Markdown.
func blocksOf(text string) (blocks []string) {
	for part := range strings.SplitSeq(text, "\n\n") {
		all := strings.Split(strings.Trim(part, "\n"), "\n")
		if !slices.ContainsFunc(all, func(line string) bool { return !strings.HasPrefix(line, "    ") }) {
			blocks = append(blocks, strings.Join(all, "\n"))
		}
	}
	return blocks
}
