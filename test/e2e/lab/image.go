package lab

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Image names the image that the runtimes get: the containers' root file system, with sleep for a command. It is made here, since
// the lab asks no registry for anything. It serves as CRI's pause image, too.
const Image = "localhost/meshnet-lab:1"

// imageFile is the image on each host.
const imageFile = "/var/lib/rootfs/image.tar"

// makeImage makes the image, once for the hosts of a lab.
func (h *Host) makeImage() {
	h.lab.tb.Helper()
	dir := filepath.Join(h.lab.dir, "rootfs")
	file := filepath.Join(dir, filepath.Base(imageFile))
	if isFile(file) {
		return
	}
	image, err := archive(filepath.Join(dir, "root"))
	if err == nil {
		err = os.WriteFile(file, image, 0o644)
	}
	if err != nil {
		h.lab.tb.Fatalf("making the image %s: %v", Image, err)
	}
}

// archive returns an image of one layer, as `docker save` writes it (Docker Image Specification v1.2, "Combined Image JSON +
// Filesystem Changeset Format"), which every runtime can import.
func archive(root string) ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		return nil, fmt.Errorf("packing %s: %w", root, err)
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{"Env": []string{"PATH=/bin:/sbin"}, "Cmd": []string{"/bin/sleep", "100000"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer.Bytes())}},
	})
	if err != nil {
		return nil, err
	}
	name := digest(config) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{"Config": name, "RepoTags": []string{Image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	var image bytes.Buffer
	w = tar.NewWriter(&image)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {name, config}, {"layer.tar", layer.Bytes()}} {
		if err := w.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, err
		}
	}
	return image.Bytes(), w.Close()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
