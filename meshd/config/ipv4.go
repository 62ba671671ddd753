package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"meshnet/meshd/token"
)

// saysIPv4 says whether the file says anything about the network's IPv4 addresses.
func (r *rawNetwork) saysIPv4() bool {
	return r.IPv4 != "" || len(r.Pools) > 0 || r.BlockBits != 0 || len(r.Exclude) > 0 || r.DeadAfter != nil
}

// setIPv4 translates what the file says about the network's IPv4 addresses.
func (r *rawNetwork) setIPv4(n *Network) (err error) {
	switch {
	case r.IPv4 != "" && r.IPv4 != "none":
		return fmt.Errorf("ipv4: %.40q is not \"none\"; the addresses are said by pools", r.IPv4)
	case r.IPv4 == "none" && (len(r.Pools) > 0 || r.BlockBits != 0 || len(r.Exclude) > 0):
		return errors.New("ipv4: a network without IPv4 has no pools, block_bits and exclude")
	}
	n.IPv4None = r.IPv4 == "none"
	if r.DeadAfter != nil {
		n.DeadAfter = *r.DeadAfter
	}
	if n.IPv4None && r.DeadAfter != nil {
		return errors.New("dead_after: the network has no IPv4")
	}
	if err := token.CheckDeadAfter(n.DeadAfter); err != nil {
		return fmt.Errorf("dead_after: %w", err)
	}
	if n.Pools, err = token.ParsePools(r.Pools, r.BlockBits, r.Exclude); err != nil {
		return fmt.Errorf("pools: %w", err)
	}
	return nil
}

// setIPAM translates who hands out blocks; a token may have said it before.
func (r *rawNetwork) setIPAM(n *Network) error {
	said, err := token.ParseIPAM(r.IPAM)
	if err != nil {
		return fmt.Errorf("ipam: %w", err)
	}
	hasToken := r.Token != "" || r.TokenFile != ""
	if hasToken && r.IPAM == token.Raft && n.IPAM.Engine() != token.Raft {
		return errors.New("ipam: the network's blocks are handed out by an etcd, as its token says")
	}
	if hasToken {
		if said, err = n.IPAM.With(said); err != nil {
			return fmt.Errorf("ipam: %w", err)
		}
	}
	for _, f := range []struct {
		key      string
		from, to *string
	}{{"ipam_ca", &r.IPAMCA, &said.CA}, {"ipam_cert", &r.IPAMCert, &said.Cert}, {"ipam_key", &r.IPAMKey, &said.Key}} {
		switch {
		case *f.from == "":
		case said.Engine() != token.Etcd:
			return fmt.Errorf("%s: it is for etcd only", f.key)
		case *f.to != "":
			return fmt.Errorf("%s: ipam says a file too", f.key)
		default:
			*f.to, said.TLS = *f.from, true
		}
	}
	if n.IPv4None && said.Engine() != token.Raft {
		return errors.New("ipam: the network has no IPv4")
	}
	if err := said.Check(); err != nil {
		return fmt.Errorf("ipam: %w", err)
	}
	n.IPAM = said
	return nil
}

// resolve makes relative paths in n start at dir.
func (n *Network) resolve(dir string) {
	for _, path := range []*string{&n.IPAM.CA, &n.IPAM.Cert, &n.IPAM.Key} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}
