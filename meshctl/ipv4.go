package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// ipamHelp says what --ipam takes.
const ipamHelp = `  Which host owns which block is agreed among the members (raft), or kept in an etcd v3:
  etcd://[USER:PASSWORD@]HOST[:PORT],…[/KEYS][?ca=FILE][&cert=FILE&key=FILE], with etcds:// over TLS. The token says
  which etcd, not what lets this host in. Other users of this host can see a password on a command line, but not one in
  --ipam-file.`

const forceUsage = "go on although this host has addresses or routes in a pool"

// ipv4Flags are the flags about a new network's IPv4 addresses.
type ipv4Flags struct {
	ipv4           string
	pools, exclude []string
	bits           int
	deadAfter      time.Duration
	etcd           etcdFlags
}

func (f *ipv4Flags) add(cmd *cobra.Command, r *api.CreateRequest) {
	cmd.Flags().StringVar(&f.ipv4, "ipv4", "", "`none`: containers get no IPv4 addresses")
	cmd.Flags().StringArrayVar(&f.pools, "pool", nil, "`prefix` of containers' IPv4 addresses, /8 to /29; repeatable, at most 8\n"+
		"(default "+token.DefaultPool().String()+")")
	cmd.Flags().IntVar(&f.bits, "block-bits", 0, "prefix length in `bits` of the blocks that hosts own (default 26, longer in small pools)")
	cmd.Flags().StringArrayVar(&f.exclude, "exclude", nil, "`addresses` of a pool never to give out: ADDRESS, PREFIX or FIRST-LAST; repeatable")
	cmd.Flags().DurationVar(&f.deadAfter, "dead-after", 0, "`time` without the registry after which a host stops leasing and is removed, 15m to 8784h (default 72h)")
	f.etcd.add(cmd)
	cmd.Flags().BoolVar(&r.Force, "force", false, forceUsage)
}

// set puts what the flags say into r.
func (f *ipv4Flags) set(c *cli, r *api.CreateRequest) (err error) {
	switch {
	case f.ipv4 != "" && f.ipv4 != api.NoIPv4:
		return usagef("--ipv4: %q is not %q; say --pool", f.ipv4, api.NoIPv4)
	case f.ipv4 != "" && (len(f.pools) > 0 || f.bits != 0 || len(f.exclude) > 0 || f.deadAfter != 0 || f.etcd.used()):
		return usagef("--ipv4 none: a network without IPv4 has neither pools nor ipam")
	}
	if err := token.CheckDeadAfter(token.Duration(f.deadAfter)); err != nil {
		return usagef("--dead-after: %w", err)
	}
	r.IPv4None, r.DeadAfter = f.ipv4 != "", api.Duration(f.deadAfter)
	if r.Pools, err = token.ParsePools(f.pools, f.bits, f.exclude); err != nil {
		return usagef("--pool: %w", err)
	}
	r.IPAM, err = f.etcd.url(c)
	return err
}

// etcdFlags are the flags that say who hands out blocks.
type etcdFlags struct{ text, file string }

func (f *etcdFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "ipam", "", "`URL` of the etcd that keeps the blocks, or raft (default raft)")
	cmd.Flags().StringVar(&f.file, "ipam-file", "", "`file` with that URL; - is standard input")
}

func (f *etcdFlags) used() bool { return f.text != "" || f.file != "" }

// url returns the URL that the flags say, with absolute paths for meshd; "" if they say none.
func (f *etcdFlags) url(c *cli) (string, error) {
	text, flag := f.text, "--ipam"
	if f.file != "" {
		if text != "" {
			return "", usagef("--ipam and --ipam-file say the same; give one")
		}
		secret, err := c.secret(f.file)
		if err != nil {
			return "", fmt.Errorf("reading the URL of etcd: %w", err)
		}
		text, flag = strings.TrimSpace(secret), "--ipam-file"
	}
	if text == "" {
		return "", nil
	}
	m, err := token.ParseIPAM(text)
	if err != nil {
		return "", usagef("%s: %w", flag, err)
	}
	for _, path := range []*string{&m.CA, &m.Cert, &m.Key} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return "", err
		}
	}
	return m.URL(), nil
}

// poolList returns the prefixes of a network's pools; "" if it has no IPv4.
func poolList(n api.Network) string {
	prefixes := make([]string, len(n.Pools))
	for i, p := range n.Pools {
		prefixes[i] = p.Prefix.String()
	}
	return strings.Join(prefixes, " ")
}

// andPools continues a sentence about a network with its pools.
func andPools(n api.Network) string {
	switch len(n.Pools) {
	case 0:
		return ", no IPv4"
	case 1:
		return ", pool " + poolList(n)
	}
	return ", pools " + poolList(n)
}
