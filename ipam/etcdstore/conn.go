package etcdstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/peer"

	"meshnet/ipam"
)

// How soon a member that does not answer is given up, and one that was down is tried again. etcd refuses pings that come more often
// than every 5 s (--grpc-keepalive-min-time).
const (
	pingEvery    = 10 * time.Second
	pingTimeout  = 5 * time.Second
	reconnectMax = 3 * time.Second
)

// connection is one client for all members. It is made when it is first needed, and as often as it takes: with a user name, the
// client's constructor wants to reach etcd at once.
type connection struct {
	address Address
	config  clientv3.Config
	last    atomic.Pointer[string] // address of the member that answered last

	mu     sync.Mutex
	made   *clientv3.Client
	closed bool
}

func newConnection(c Config) (*connection, error) {
	config, err := c.Address.tlsConfig()
	if err != nil {
		return nil, err
	}
	if _, err := c.Address.password(); err != nil {
		return nil, err
	}
	conn := &connection{address: c.Address}
	scheme := "http://"
	if c.Address.TLS {
		scheme = "https://"
	}
	for _, endpoint := range c.Address.Endpoints {
		conn.config.Endpoints = append(conn.config.Endpoints, scheme+endpoint)
	}
	conn.config.TLS = config
	conn.config.Username = c.Address.User
	conn.config.DialTimeout = c.Attempt
	conn.config.DialKeepAliveTime = pingEvery
	conn.config.DialKeepAliveTimeout = pingTimeout
	conn.config.MaxUnaryRetries = 1 // trying again is Do's business, which knows what may be repeated
	conn.config.Logger = zap.NewNop()
	conn.config.DialOptions = []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(conn.intercept),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
			MinConnectTimeout: c.Attempt,
		}),
	}
	return conn, nil
}

// intercept makes a request fail as soon as no member can be reached, with the reason, where etcd's client would wait and then say only
// that time is up. It notes which member answers.
func (c *connection) intercept(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var p peer.Peer
	err := invoke(ctx, method, req, reply, conn, append(opts, grpc.WaitForReady(false), grpc.Peer(&p))...)
	if err == nil && p.Addr != nil {
		name := p.Addr.String()
		c.last.Store(&name)
	}
	return err
}

func (c *connection) client(ctx context.Context) (*clientv3.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, ipam.ErrClosed
	case c.made != nil:
		return c.made, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	config := c.config
	var err error
	if config.Password, err = c.address.password(); err != nil {
		return nil, &storeError{text: err.Error(), cause: err, final: true}
	}
	c.made, err = clientv3.New(config)
	if err != nil {
		c.made = nil
	}
	return c.made, err
}

// peer returns the address of the member that answered last; empty if none has.
func (c *connection) peer() string {
	if name := c.last.Load(); name != nil {
		return *name
	}
	return ""
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.made != nil {
		c.made.Close() // its error only says that its context has ended
		c.made = nil
	}
}
