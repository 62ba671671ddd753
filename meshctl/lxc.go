package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/plugins/lxcconf"
)

// Where LXC has its containers, and what a new one's configuration begins with, unless lxc.conf(5) says otherwise.
const (
	lxcPath    = "/var/lib/lxc"
	lxcDefault = "/etc/lxc/default.conf"
	lxcHook    = "/usr/local/bin/lxc-hook"
)

func lxcCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lxc",
		Short: "Put LXC containers on a network, and take them off it",
		Long: `DESCRIPTION
  Write the few lines into the configuration of LXC containers by which LXC calls lxc-hook, and take them out again.

` + footer,
		Args: checked(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return usagef("lxc needs a command: enable or disable") },
	}
	cmd.AddCommand(lxcEnableCommand(c), lxcDisableCommand(c))
	return cmd
}

// lxcFlags say which configurations are meant.
type lxcFlags struct {
	path        string
	all         bool
	defaults    bool
	defaultFile string
	dryRun      bool
}

func (f *lxcFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "all containers that there are")
	flags.BoolVar(&f.defaults, "default", false, "what new containers begin with")
	flags.BoolVarP(&f.dryRun, "dry-run", "n", false, "show what would be written, and write nothing")
	flags.StringVar(&f.path, "lxcpath", lxcPath, "`directory` of the containers, as lxc-start -P")
	flags.StringVar(&f.defaultFile, "default-file", lxcDefault, "`file` that --default is about")
}

func lxcEnableCommand(c *cli) *cobra.Command {
	var f lxcFlags
	var m lxcconf.Mesh
	cmd := &cobra.Command{
		Use:   "enable NETWORK [CONTAINER...]",
		Short: "Put LXC containers on a network",
		Long: `DESCRIPTION
  Change the configuration of containers so that they are on the network from their next start on, and print what is changed. A container
  that has interfaces keeps them and gets another one, the next ethN; with --only it has none but that on the network, eth0. What is written
  stands between two comments, what is switched off becomes a comment. To write it anew, for another network say, does no harm.

  --default does the same to /etc/lxc/default.conf, for containers that are made later.

  A configuration in which somebody has written lxc-hook by hand is left alone, and so is a container that shares the host's network.
  Needs no meshd, and does not ask whether there is such a network. Files that a configuration includes are not read.

` + footer,
		Example: `  meshctl lxc enable prod web db
  meshctl lxc enable prod --default --only        # new containers are on this network, and on nothing else
  meshctl lxc enable prod web --ipv4 10.77.0.9
  meshctl lxc disable --all --default`,
		Args: checked(cobra.MatchAll(cobra.MinimumNArgs(1), firstNetworkName)), ValidArgsFunction: c.completeNetworks,
		RunE: func(_ *cobra.Command, args []string) error {
			m.Network = args[0]
			if c.socket != api.DefaultSocket {
				m.Socket = c.socket
			}
			files, err := f.files(args[1:])
			if err != nil {
				return err
			}
			if err := checkMesh(m, len(files)); err != nil {
				return err
			}
			return c.edit(files, f.dryRun, func(text string) (string, error) {
				text, _, err := lxcconf.Enable(text, m)
				return text, err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&m.Only, "only", false, "no other interface than that on the network")
	cmd.Flags().StringVar(&m.IPv4, "ipv4", "", "the IPv4 `address` that the container is to have; none: IPv6 only")
	cmd.Flags().StringVar(&m.Hook, "hook", hookPath(), "`path` of lxc-hook")
	cmd.Flags().Lookup("hook").DefValue = lxcHook // help does not depend on where meshctl is
	return cmd
}

func lxcDisableCommand(c *cli) *cobra.Command {
	var f lxcFlags
	cmd := &cobra.Command{
		Use:   "disable [CONTAINER...]",
		Short: "Take LXC containers off their networks",
		Long: `DESCRIPTION
  Undo "meshctl lxc enable", and print what is changed. A container that runs keeps its interface until it stops.

` + footer,
		Args: checked(cobra.ArbitraryArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := f.files(args)
			if err != nil {
				return err
			}
			return c.edit(files, f.dryRun, func(text string) (string, error) {
				text, _ = lxcconf.Disable(text)
				return text, nil
			})
		},
	}
	f.add(cmd)
	return cmd
}

// firstNetworkName checks the argument that is a network.
func firstNetworkName(cmd *cobra.Command, args []string) error { return networkNames(cmd, args[:1]) }

// hookPath returns lxc-hook beside meshctl, if it is there, else where make install puts it.
func hookPath() string {
	if self, err := os.Executable(); err == nil {
		if hook := filepath.Join(filepath.Dir(self), "lxc-hook"); isExecutable(hook) {
			return hook
		}
	}
	return lxcHook
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// checkMesh says what of m cannot be.
func checkMesh(m lxcconf.Mesh, files int) error {
	if addr, err := netip.ParseAddr(m.IPv4); m.IPv4 != "" && m.IPv4 != api.NoIPv4 && (err != nil || !addr.Is4()) {
		return usagef("--ipv4: %q is no IPv4 address; none is for IPv6 only", m.IPv4)
	}
	if m.IPv4 != "" && m.IPv4 != api.NoIPv4 && files > 1 {
		return usagef("--ipv4: %s can be one container's only", m.IPv4)
	}
	if !filepath.IsAbs(m.Hook) || !isExecutable(m.Hook) {
		return fmt.Errorf("there is no program %s: install lxc-hook (make install), or name it by --hook with its whole path", m.Hook)
	}
	return nil
}

// files returns the configurations that are meant.
func (f *lxcFlags) files(containers []string) ([]string, error) {
	if f.all {
		found, err := filepath.Glob(filepath.Join(f.path, "*", "config"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("there is no container in %s (--lxcpath names another directory)", f.path)
		}
		if len(containers) > 0 {
			return nil, usagef("--all, and the container %s", containers[0])
		}
		containers = nil
		for _, config := range found {
			containers = append(containers, filepath.Base(filepath.Dir(config)))
		}
	}
	var files []string
	for _, name := range containers {
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, usagef("%q is not the name of a container", name)
		}
		if file := filepath.Join(f.path, name, "config"); !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	if f.defaults {
		files = append(files, f.defaultFile)
	}
	if len(files) == 0 {
		return nil, usagef("no container is named; say which, or --all, or --default")
	}
	return files, nil
}

// change is what becomes of a file.
type change struct{ path, before, after string }

// edit changes files, all or, if one cannot be, none, and prints what it changes.
func (c *cli) edit(files []string, dryRun bool, how func(text string) (string, error)) error {
	var changes []change
	var errs []error
	for _, path := range files {
		text, err := readConfig(path)
		if err == nil {
			var after string
			if after, err = how(text); err == nil {
				changes = append(changes, change{path, text, after})
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, errors.New("nothing was written"))...)
	}
	for _, ch := range changes {
		if err := ch.show(c.stdout); err != nil {
			return err
		}
		if ch.before == ch.after || dryRun {
			continue
		}
		if err := ch.write(); err != nil {
			return fmt.Errorf("writing %s: %w", ch.path, err)
		}
	}
	return nil
}

// maxLXCConfig is how long a configuration may be, in bytes.
const maxLXCConfig = 1 << 20

func readConfig(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", errors.New("there is no such container or file (lxc-ls shows the containers, --lxcpath names another directory)")
	}
	if err != nil {
		return "", errors.Unwrap(err) // the path is said already
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLXCConfig+1))
	if err == nil && len(b) > maxLXCConfig {
		err = fmt.Errorf("it has more than %d bytes: that is no configuration", maxLXCConfig)
	}
	return string(b), err
}

// show prints the lines that go and come.
func (ch change) show(w io.Writer) error {
	if ch.before == ch.after {
		_, err := fmt.Fprintf(w, "%s: nothing to change\n", ch.path)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", ch.path)
	before, after := lines(ch.before), lines(ch.after)
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "  - %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "  + %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// write replaces the file at once, so that LXC finds the old one or the new one, and keeps whose it is.
func (ch change) write() error {
	path, err := filepath.EvalSymlinks(ch.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := replaceFile(path, strings.NewReader(ch.after), info.Mode().Perm()); err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		return os.Chown(path, int(st.Uid), int(st.Gid))
	}
	return nil
}
