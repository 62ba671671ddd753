package nameserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is how long one server may take. A client waits for 5 s, and asks again (resolv.conf(5), "timeout").
	patience = 1500 * time.Millisecond
	// patienceAll is how long all of them may take together.
	patienceAll = 4500 * time.Millisecond
)

// forwarder asks others. Who asks what is being asked already waits for that answer: however often a question comes back to us, by a
// server that asks us in its turn, it goes out once.
type forwarder struct {
	resolvers *resolvers
	mu        sync.Mutex
	flights   map[string]*flight // by normal
}

// flight is a question that is being asked.
type flight struct {
	done  chan struct{}
	reply []byte // not to be changed
	err   error
}

func newForwarder(r *resolvers) *forwarder {
	return &forwarder{resolvers: r, flights: make(map[string]*flight)}
}

// exchange returns the reply to q in the form of normal's question, which the caller must not change.
func (f *forwarder) exchange(ctx context.Context, q *dns.Msg) ([]byte, error) {
	query, err := normal(q)
	if err != nil {
		return nil, err
	}
	key := string(query)
	f.mu.Lock()
	if other, ok := f.flights[key]; ok {
		f.mu.Unlock()
		select {
		case <-other.done:
			return other.reply, other.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	own := &flight{done: make(chan struct{})}
	f.flights[key] = own
	f.mu.Unlock()
	own.reply, own.err = f.ask(ctx, query)
	f.mu.Lock()
	delete(f.flights, key)
	f.mu.Unlock()
	close(own.done)
	return own.reply, own.err
}

var errNobody = errors.New("nameserver: no resolver of the host can be asked")

// ask asks the servers in turn until one knows, and all of them a second time if none has said anything.
func (f *forwarder) ask(ctx context.Context, query []byte) (reply []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patienceAll)
	defer cancel()
	err = errNobody
	servers := f.resolvers.list(time.Now())
	for range 2 {
		var refused []byte
		for _, server := range servers {
			var r []byte
			if r, err = askOne(ctx, server, query); err != nil {
				continue
			}
			if rcode := int(r[3] & 0xf); rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError {
				f.resolvers.prefer(server)
				return r, nil
			}
			refused = r
		}
		if refused != nil {
			return refused, nil
		}
		if ctx.Err() != nil || len(servers) == 0 {
			break
		}
	}
	return nil, err
}

// askOne asks one server, by UDP, and by TCP if its answer is too long for that.
func askOne(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	query = append([]byte(nil), query...)
	binary.BigEndian.PutUint16(query, dns.Id())
	reply, err := askUDP(ctx, server, query)
	if err != nil || reply[2]&0x02 == 0 { // TC
		return reply, err
	}
	if whole, err := askTCP(ctx, server, query); err == nil {
		return whole, nil
	}
	return reply, nil // the client may try by itself
}

// dial opens a connection to a server, whose deadline is that of ctx.
func dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	return conn, err
}

// askUDP takes the first datagram that is an answer to query; others are of earlier questions, or forged.
func askUDP(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	conn, err := dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	b := make([]byte, maxQuery)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return nil, err
		}
		switch {
		case n == len(b): // cut by us
		case answers(b[:n], query):
			return b[:n], nil
		case refuses(b[:n], query):
			return nil, fmt.Errorf("nameserver: %v does not take the question", server)
		}
	}
}

// askTCP asks over a connection of its own.
func askTCP(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	conn, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(framed(query)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	if !answers(reply, query) {
		return nil, fmt.Errorf("nameserver: %v answers another question", server)
	}
	return reply, nil
}
