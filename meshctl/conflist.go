package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// conflistFile is a configuration in a directory of CNI's.
type conflistFile struct {
	dir, base string
	network   string // CNI's name
}

func (f conflistFile) path() string { return filepath.Join(f.dir, f.base) }

// check refuses to write over what somebody else wrote, and beside another configuration of the same CNI network.
func (f conflistFile) check(force bool) error {
	if force {
		return nil
	}
	text, err := os.ReadFile(f.path())
	if err == nil && !isOurs(text) {
		return fmt.Errorf("%s is not a configuration for cni-meshnet: move it away, or replace it with --force", f.path())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range configs(f.dir) {
		if name == f.base {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(f.dir, name)); err == nil && nameIn(text) == f.network {
			return fmt.Errorf("%s is for a CNI network called %s already: choose another --name, move it away, or go on with --force",
				filepath.Join(f.dir, name), f.network)
		}
	}
	return nil
}

// before returns the path of the first configuration of the directory if that is another one, else "".
func (f conflistFile) before() string {
	if names := configs(f.dir); len(names) > 0 && names[0] < f.base {
		return filepath.Join(f.dir, names[0])
	}
	return ""
}

// write puts text into the file.
func (f conflistFile) write(text []byte) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	return replaceFile(f.path(), bytes.NewReader(text), 0o644)
}

// configs returns the names of the configurations in a directory, as libcni finds and orders them (ConfFiles, libcni/conf.go).
func configs(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".conf", ".conflist", ".json"}, ext) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// isOurs says whether a configuration is one for cni-meshnet.
func isOurs(text []byte) bool {
	var list struct {
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	return json.Unmarshal(text, &list) == nil && len(list.Plugins) > 0 && list.Plugins[0].Type == "cni-meshnet"
}

// conflistsFor returns the files in a directory by which containers are put on a network of meshnet.
func conflistsFor(dir, network string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.conflist"))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(files, func(path string) bool {
		text, err := os.ReadFile(path)
		var list struct {
			Plugins []struct {
				Network string `json:"network"`
			} `json:"plugins"`
		}
		return err != nil || !isOurs(text) || json.Unmarshal(text, &list) != nil || list.Plugins[0].Network != network
	})
}

// nameIn returns the name of a configuration's CNI network, "" if it has none that can be read.
func nameIn(text []byte) string {
	var list struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(text, &list)
	return list.Name
}

// replaceFile writes a file so that whoever looks finds the old one or the whole new one, even after a crash. Its temporary
// name is no configuration's and no plugin's.
func replaceFile(path string, from io.Reader, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// versionTimeout limits the question to one plugin.
const versionTimeout = 5 * time.Second

// knowGC says whether all chained plugins know version 1.1.0, as they say themselves. One that is not there is taken to be old.
func knowGC(dir string, plugins []string) bool {
	for _, name := range plugins {
		ctx, cancel := context.WithTimeout(context.Background(), versionTimeout)
		cmd := exec.CommandContext(ctx, filepath.Join(dir, name))
		cmd.Env = []string{"CNI_COMMAND=VERSION", "CNI_PATH=" + dir}
		cmd.Stdin = strings.NewReader(`{"cniVersion":"1.0.0"}`)
		out, err := cmd.Output()
		cancel()
		var answer struct {
			SupportedVersions []string `json:"supportedVersions"`
		}
		if err != nil || json.Unmarshal(out, &answer) != nil || !slices.Contains(answer.SupportedVersions, "1.1.0") {
			return false
		}
	}
	return true
}
