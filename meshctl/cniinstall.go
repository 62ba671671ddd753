package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// cniPlugins are the programs that runtimes run.
var cniPlugins = []string{"cni-meshnet", "cni-meshnet-ipam"}

func cniInstallCommand(c *cli) *cobra.Command {
	var dir, from string
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the CNI plugins",
		Long: `DESCRIPTION
  Copy cni-meshnet and cni-meshnet-ipam into /opt/cni/bin, or where --dir says that a runtime looks for plugins, and print
  their paths. They are taken from the directory of meshctl, or from /opt/cni/bin if they are not there. A plugin that
  runs meanwhile goes on as it was. Needs no meshd.

` + footer,
		Example: `  meshctl cni install
  meshctl cni install --dir /var/lib/rancher/k3s/data/cni`,
		Args: checked(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			source, err := pluginSource(from)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, name := range cniPlugins {
				if err := install(filepath.Join(source, name), filepath.Join(dir, name)); err != nil {
					return err
				}
				fmt.Fprintln(c.stdout, filepath.Join(dir, name))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", cniPluginDir, "`directory` to install into")
	cmd.Flags().StringVar(&from, "from", "", "`directory` that has the plugins (default see above)")
	return cmd
}

// pluginSource returns the directory that has all plugins: from, if that is said.
func pluginSource(from string) (string, error) {
	dirs := []string{from}
	if from == "" {
		dirs = []string{cniPluginDir}
		if self, err := os.Executable(); err == nil {
			dirs = []string{filepath.Dir(self), cniPluginDir}
		}
	}
	for _, dir := range dirs {
		missing := false
		for _, name := range cniPlugins {
			info, err := os.Stat(filepath.Join(dir, name))
			missing = missing || err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0
		}
		if !missing {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s are not both in %s; say with --from where they are", strings.Join(cniPlugins, " and "), strings.Join(dirs, " or "))
}

// install copies a program, unless it is that very file.
func install(from, to string) error {
	source, err := os.Stat(from)
	if err != nil {
		return err
	}
	there, err := os.Stat(to)
	switch {
	case err == nil && os.SameFile(source, there):
		return nil
	case err == nil && there.IsDir():
		return fmt.Errorf("%s is a directory", to)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return replaceFile(to, f, 0o755)
}
