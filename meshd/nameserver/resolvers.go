package nameserver

import (
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsPort = 53
	// look is how often the file is looked at.
	look = time.Second
)

// resolvers are the servers that the host asks itself (resolv.conf(5)). Safe for concurrent use.
type resolvers struct {
	file string
	own  func(netip.Addr) bool
	port uint16

	mu     sync.Mutex
	looked time.Time
	read   fs.FileInfo // of the file as it was read; nil: there was none
	addrs  []netip.AddrPort
}

func newResolvers(file string, own func(netip.Addr) bool) *resolvers {
	return &resolvers{file: file, own: own, port: dnsPort}
}

// list returns the servers in the order in which they are to be asked. The file is read again when it has changed.
func (r *resolvers) list(now time.Time) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.looked.IsZero() && now.Sub(r.looked) < look {
		return r.addrs
	}
	info, err := os.Stat(r.file)
	if err != nil {
		info = nil
	}
	if r.looked.IsZero() || !sameFile(r.read, info) {
		r.addrs = r.parse()
		r.read = info
	}
	r.looked = now
	return r.addrs
}

// sameFile reports whether a file is as it was.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// parse reads the file. Without a server in it the host asks itself, says resolv.conf(5).
func (r *resolvers) parse() []netip.AddrPort {
	var list []netip.AddrPort
	named := 0
	if c, err := dns.ClientConfigFromFile(r.file); err == nil {
		named = len(c.Servers)
		for _, s := range c.Servers {
			a, err := netip.ParseAddr(s)
			if at := netip.AddrPortFrom(a.Unmap(), r.port); err == nil && !r.own(at.Addr()) && !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	if named == 0 {
		list = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), r.port)}
	}
	return list
}

// prefer puts a server in front of the others, until the file changes: it has answered where others have not.
func (r *resolvers) prefer(server netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.addrs, server); i > 0 {
		r.addrs = slices.Concat([]netip.AddrPort{server}, r.addrs[:i], r.addrs[i+1:])
	}
}
