package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"meshnet/meshd/wire"
)

// queueLen is the number of datagrams that wait for a reader before more are lost; a socket buffer of 1 MiB holds about
// as many of the largest.
const queueLen = 1024

// A Host is a machine's sockets on the simulated underlay, with the methods of udp.Conn. The n-th of its addresses is
// its n-th listen socket in the sense of wire.Endpoint. All methods may be called from several goroutines at once.
type Host struct {
	net   *Network
	nat   *NAT // that it is behind; nil: none. Guarded by Network.mu
	addrs []netip.AddrPort
	queue chan *packet
	mtu   atomic.Int64 // bytes of IP packet, of its device; 0: no limit
	once  sync.Once
	done  chan struct{} // closed by Close
}

// Host adds a host with the given addresses ("192.0.2.1:7000", "[2001:db8::1]:7000"), of one or both families. It
// panics if an address is malformed or taken by a host that has not been closed. An address may be given again after
// Close, to the host that restarted, and then receives what was sent to it in the meantime and is still under way.
func (n *Network) Host(addrs ...string) *Host {
	h := &Host{net: n, queue: make(chan *packet, queueLen), done: make(chan struct{})}
	if len(addrs) == 0 {
		panic("netsim: host without an address")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range addrs {
		addr := netip.MustParseAddrPort(s)
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		if n.hosts[addr] != nil {
			panic(fmt.Sprintf("netsim: address %v is in use", addr))
		}
		n.hosts[addr] = h
		h.addrs = append(h.addrs, addr)
	}
	return h
}

// LocalAddr returns the first of the host's addresses.
func (h *Host) LocalAddr() netip.AddrPort { return h.addrs[0] }

// Addrs returns all of the host's addresses, in the order they were given. The slice must not be changed.
func (h *Host) Addrs() []netip.AddrPort { return h.addrs }

// ReadBatch waits for a datagram, at most for wait, which is for ever if negative, and reads as many as there are, at most
// len(ds); none if the time is up. It fills ds[i].Buf, whose memory it replaces if there is too little; ds[i].Endpoint is the
// sender's address and the number of the socket it came in through. After Close the error is net.ErrClosed.
func (h *Host) ReadBatch(ds []wire.Datagram, wait time.Duration) (int, error) {
	count := 0
	for count < len(ds) {
		p, err := h.next(count == 0, wait)
		if err != nil {
			return 0, err
		}
		if p == nil {
			break
		}
		h.read(p, &ds[count])
		count++
	}
	return count, nil
}

// next takes a packet from the queue. If there is none, it waits for one if it is the first, or returns nil.
func (h *Host) next(first bool, wait time.Duration) (*packet, error) {
	if !first {
		select {
		case p := <-h.queue:
			return p, nil
		default:
			return nil, nil
		}
	}
	select {
	case <-h.done: // before what is in the queue
		return nil, h.closed("reading from")
	default:
	}
	var up <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		up = timer.C
	}
	select {
	case p := <-h.queue:
		return p, nil
	case <-up:
		return nil, nil
	case <-h.done:
		return nil, h.closed("reading from")
	}
}

// read copies p to d and gives p back.
func (h *Host) read(p *packet, d *wire.Datagram) {
	d.Buf = append(d.Buf[:0], p.datagram...)
	d.Endpoint = wire.Endpoint{Addr: p.link.from, Socket: h.socket(p.to)}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.schedule.free = append(h.net.schedule.free, p)
}

// socket returns the number of the listen socket with the given address, from 1.
func (h *Host) socket(addr netip.AddrPort) uint8 {
	for i, a := range h.addrs {
		if a == addr {
			return uint8(i + 1)
		}
	}
	return 0
}

// WriteBatch sends all datagrams, from the socket that each one's endpoint names. It keeps no buffer and never waits.
// It returns the number of datagrams that found a socket of their family to leave through; after Close the error is
// net.ErrClosed.
func (h *Host) WriteBatch(ds []wire.Datagram) (int, error) { return h.write(ds, false) }

// write sends datagrams, which are not cut on the way if they have to stay whole.
func (h *Host) write(ds []wire.Datagram, whole bool) (int, error) {
	select {
	case <-h.done:
		return 0, h.closed("sending from")
	default:
	}
	now, sent := time.Now(), 0
	for i := range ds {
		to := ds[i].Endpoint.Addr
		from, ok := h.source(ds[i].Endpoint)
		if !ok {
			h.net.mu.Lock()
			h.net.stats.Unreachable++
			h.net.mu.Unlock()
			continue
		}
		h.net.send(now, route{from, to}, ds[i].Buf, whole)
		sent++
	}
	return sent, nil
}

// source chooses the address to send from.
func (h *Host) source(to wire.Endpoint) (netip.AddrPort, bool) {
	for i, addr := range h.addrs {
		if addr.Addr().Is4() == to.Addr.Addr().Is4() && (to.Socket == 0 || int(to.Socket) == i+1) {
			return addr, true
		}
	}
	return netip.AddrPort{}, false
}

// Close takes the host off the network: its addresses are free, its readers return net.ErrClosed, and what waits in its
// queue is lost. It may be called more than once.
func (h *Host) Close() error {
	h.once.Do(func() {
		close(h.done)
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		for _, addr := range h.addrs {
			delete(h.net.hosts, addr)
		}
	})
	return nil
}

func (h *Host) closed(doing string) error {
	return fmt.Errorf("%s %v: %w", doing, h.addrs[0], net.ErrClosed)
}
