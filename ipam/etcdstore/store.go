package etcdstore

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// warnEvery is how often the reason is logged for which etcd does not answer.
const warnEvery = time.Minute

// Config says which registry to keep where.
type Config struct {
	Address   Address  // as ParseURL gives it
	NetworkID [16]byte // its keys lie below Prefix/<network ID>/
	Self      registry.NodeID
	// Init, if not nil, makes the registry where there is none yet, before the first command: on the node that created the network.
	Init *registry.Command

	Timeout time.Duration // of Do and View if their context allows more; default 5 s
	Attempt time.Duration // of one request to etcd, after which the next member is asked; default 2 s
	Probe   time.Duration // between two signs of life while nothing happens; default 30 s

	Now func() time.Time // default time.Now; must carry a monotonic reading
	Log *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	fill := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	fill(&c.Timeout, 5*time.Second)
	fill(&c.Attempt, 2*time.Second)
	fill(&c.Probe, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Store is an ipam.BlockStore. Its methods are safe for concurrent use.
type Store struct {
	config Config
	conn   *connection
	prefix string // of all keys of the network, ends with "/"
	mark   string // the node's own key, without prefix

	ctx    context.Context // ends with Close; for the goroutine that follows etcd, and for what waits on its behalf
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	turn   chan struct{} // holds one token: commands of one node go one by one, they would only meet in its own records

	mu       sync.Mutex
	mirror   *mirror
	clock    clock
	cluster  uint64             // ID of the etcd cluster; 0: not known yet
	revision int64              // newest that an answer has shown
	loss     *loss              // not nil: etcd has forgotten something; see rollback.go
	contact  time.Time          // of the last answer
	err      *storeError        // of the last request; nil if it was answered
	warned   time.Time          // when err was last logged
	unwatch  context.CancelFunc // ends the present watch; nil if there is none
}

var _ ipam.BlockStore = (*Store)(nil)

// Open returns a store that begins to follow etcd in the background. It reads the files that the address names and fails if they are not
// right; an etcd that cannot be reached is none of its business, but of Do, View and Status.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	conn, err := newConnection(c)
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: c, conn: conn, prefix: c.Address.Prefix + "/" + hex.EncodeToString(c.NetworkID[:]) + "/", mark: marksKey + c.Self.String(),
		done: make(chan struct{}), turn: make(chan struct{}, 1), mirror: newMirror(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.turn <- struct{}{}
	if c.Address.User != "" && !c.Address.TLS {
		c.Log.Warn("the password for etcd goes over the network in clear: use etcds:// or cacert", "etcd", c.Address)
	}
	go s.run()
	return s, nil
}

// Close ends everything that goes on and waits for it. Calls of Do and View fail.
func (s *Store) Close() error {
	s.cancel()
	<-s.done
	s.conn.close()
	return nil
}

// View implements ipam.BlockStore: what the watch has brought, or what etcd says if it has brought nothing yet.
func (s *Store) View(ctx context.Context) (registry.State, error) {
	ctx, cancel := s.bound(ctx, s.config.Timeout)
	defer cancel()
	if !s.hasRead() {
		if err := s.sync(ctx); err != nil {
			return registry.State{}, s.explain(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return registry.Load(s.mirror)
}

func (s *Store) hasRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mirror.rev > 0
}

// Status implements ipam.BlockStore.
func (s *Store) Status() ipam.StoreStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := ipam.StoreStatus{
		Engine: "etcd", Role: ipam.RoleClient, Voters: slices.Clone(s.config.Address.Endpoints), LastContact: s.contact,
	}
	switch {
	case s.ctx.Err() != nil:
		st.Err = s.closed()
	case s.loss != nil:
		st.Err = s.loss.err()
	case s.err != nil:
		st.Err = s.err
	case s.contact.IsZero():
		st.Err = &storeError{text: "etcd has not answered yet"}
	default:
		st.Leader = s.conn.peer()
	}
	return st
}

// bound returns ctx with an end after d at the latest, or with Close.
func (s *Store) bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (s *Store) closed() *storeError {
	return &storeError{text: "the block store is closed", cause: ipam.ErrClosed, final: true}
}

// explain says why a request got no answer.
func (s *Store) explain(err error) *storeError {
	if s.ctx.Err() != nil {
		return s.closed()
	}
	return explain(err, s.config.Address)
}

// answered notes the outcome of a request for Status, and logs when etcd falls silent, now and then why it still is, and when it is back.
func (s *Store) answered(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	if err == nil {
		if s.err != nil {
			s.config.Log.Info("etcd answers again", "endpoint", s.conn.peer())
		}
		s.err, s.contact = nil, now
		return
	}
	if s.ctx.Err() != nil || errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return // not etcd's doing
	}
	why := explain(err, s.config.Address)
	if s.err == nil || now.Sub(s.warned) >= warnEvery {
		s.config.Log.Warn("etcd does not answer", "err", why.text)
		s.warned = now
	}
	s.err = why
}

// sync reads what was written since the mirror's revision, which is everything at first.
func (s *Store) sync(ctx context.Context) error {
	s.mu.Lock()
	floor, rev := s.revision, s.mirror.rev
	s.mu.Unlock()
	ctx, cancel := s.bound(ctx, s.config.Attempt)
	defer cancel()
	client, err := s.conn.client(ctx)
	var answer *clientv3.GetResponse
	if err == nil {
		answer, err = client.Get(clientv3.WithRequireLeader(ctx), s.prefix, s.since(rev)...)
	}
	if s.answered(err); err != nil {
		return err
	}
	s.absorb(answer.Header.GetClusterId(), answer.Header.GetRevision(), floor, s.entries(answer.Kvs), int(answer.Count))
	return nil
}

// since are the options of a read of all keys written after rev.
func (s *Store) since(rev int64) []clientv3.OpOption {
	return []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithMinModRev(rev + 1)}
}

// pause waits for a random time up to limit, and reports false if ctx has ended.
func pause(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(rand.N(limit) + 1)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
