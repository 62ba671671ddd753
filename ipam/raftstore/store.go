package raftstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

const (
	tick       = time.Second      // housekeeping
	seekMin    = 2 * time.Second  // between two searches for a leader, at first
	seekMax    = 30 * time.Second // and after two minutes of it
	retryAfter = 30 * time.Second // a server that failed is started again
)

// Store is this node's part in the embedded block store. It implements ipam.BlockStore. All methods are safe for concurrent
// use.
type Store struct {
	cfg     Config
	disk    disk
	log     *slog.Logger
	raftLog hclog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // there is housekeeping to do
	asking chan struct{} // holds one token: who takes it seeks the leader

	life sync.Mutex // held while the server starts, stops, or what it is made of changes

	mu       sync.Mutex
	memo     memo
	seen     uint64  // the last entry of memo.Registry's log of which this node was told; see View
	server   *server // nil: a client
	failure  error   // why there is no server though there should be
	retryAt  time.Time
	unmade   error                 // why the registry could not be made; nil if nobody knows
	hint     standing              // the newest that others said of our registry
	contact  time.Time             // the leader's last answer
	trouble  time.Time             // since when no leader answers; zero: it did last time
	answered map[[32]byte]struct{} // who answered when the leader was sought last
	greeted  map[[32]byte]uint64   // instance of those who know our standing
	rival    *rival
	former   []serverID             // who has to be told that it is no server any more
	leaving  map[[32]byte]time.Time // when nodes last asked the leader, this one, to do without them
	// resigning says that this node is about to leave the network.
	resigning bool
	closed    bool
}

// rival is another registry of this network.
type rival struct {
	registry identity
	peer     [32]byte // who follows it
}

var _ ipam.BlockStore = (*Store)(nil)

// Open starts this node's part. What keeps a node from serving (a full disk, say) does not keep it from asking others: it shows
// in Status. Open fails only if it cannot know what it is.
func Open(cfg Config) (*Store, error) { return open(cfg, osDisk(cfg.Dir)) }

func open(cfg Config, d disk) (*Store, error) {
	cfg.Timing = cfg.Timing.withDefaults()
	m, err := d.readMemo()
	if err != nil {
		return nil, fmt.Errorf("opening the block store: %w", err)
	}
	if !m.Registry.known() && cfg.Bootstrap {
		m = memo{Registry: newRegistry(cfg.Self), Incarnation: random(), Founding: true}
		if err := d.writeMemo(m); err != nil {
			return nil, fmt.Errorf("making the block store: %w", err)
		}
	}
	s := &Store{
		cfg:      cfg,
		disk:     d,
		log:      cfg.Log,
		raftLog:  newRaftLog(cfg.Log),
		wake:     make(chan struct{}, 1),
		asking:   make(chan struct{}, 1),
		memo:     m,
		hint:     standing{registry: m.Registry},
		trouble:  time.Now(),
		answered: make(map[[32]byte]struct{}),
		greeted:  make(map[[32]byte]uint64),
		leaving:  make(map[[32]byte]time.Time),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.resume()
	requests, raftStreams := cfg.Streams.Listen(Protocol), cfg.Streams.Listen(RaftProtocol)
	s.wg.Go(func() { s.accept(requests, s.serve) })
	s.wg.Go(func() { s.accept(raftStreams, s.route) })
	s.wg.Go(func() { <-s.ctx.Done(); requests.Close(); raftStreams.Close() })
	s.wg.Go(s.keep)
	return s, nil
}

func newRegistry(creator registry.NodeID) identity {
	i := identity{Created: time.Now().UTC().Truncate(time.Second), Creator: creator, Generation: 0, Lineage: random()}
	rand.Read(i.ID[:])
	return i
}

// random returns a random number that is not 0.
func random() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if n := binary.BigEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// Close ends this node's part; the others go on without it.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.cancel()
	s.life.Lock()
	err := s.stopServer()
	s.life.Unlock()
	s.wg.Wait()
	return err
}

// keep does the housekeeping until the end.
func (s *Store) keep() {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	var sought time.Time
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		s.life.Lock()
		s.resume()
		s.life.Unlock()
		s.greet()
		if since, ok := s.leaderless(); ok && time.Since(sought) >= min(max(since/4, seekMin), seekMax) {
			s.seek(s.ctx)
			sought = time.Now()
		}
	}
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// resume makes the server be what the memo says: it starts one that should run, and stops one that failed or is outdated.
// s.life is held, or nobody else knows s yet.
func (s *Store) resume() {
	s.mu.Lock()
	m, v, failure, retryAt := s.memo, s.server, s.failure, s.retryAt
	newer := s.hint.registry.newer(m.Registry)
	s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
	case newer && m.Recovering == nil:
		s.obey(s.hintRegistry())
	case v != nil && failure != nil:
		s.log.Error("stopped serving the block store", "err", failure, "retry", retryAfter)
		if err := s.stopServer(); err != nil {
			s.log.Debug("stopping raft", "err", err)
		}
	case v == nil && m.Recovering != nil && !time.Now().Before(retryAt):
		_ = s.start(func() error { return s.finishRecovery(m) })
	case v == nil && m.Incarnation != 0 && !time.Now().Before(retryAt):
		_ = s.start(func() error { return s.run(m, false) })
	}
}

func (s *Store) hintRegistry() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hint.registry
}

// start calls f, which starts the server, and keeps its error. What fails in the server from the first moment on counts, too:
// nothing is forgotten after f. s.life is held.
func (s *Store) start(f func() error) error {
	s.mu.Lock()
	before := s.failure
	s.failure = nil
	s.mu.Unlock()
	err := f()
	if err == nil {
		return nil
	}
	if before == nil || before.Error() != err.Error() {
		s.log.Error("cannot serve the block store", "err", err)
	}
	s.failed(err)
	return err
}

// failed notes why there is no server though there should be one, and when to try again.
func (s *Store) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.retryAt = err, time.Now().Add(retryAfter)
}

// serverFailed is called from inside raft when v's disk has failed.
func (s *Store) serverFailed(v *server, cause error) {
	if running, _ := s.current(); running != nil && running != v {
		return
	}
	s.failed(fmt.Errorf("writing %s: %w", v.guard.path, cause))
	s.signal()
}

// errUnmade means that a new leader has not made the registry, or has not read it.
var errUnmade = errors.New("the registry is being made or read")

// errNoData means that a server's raft data has vanished.
var errNoData = errors.New("the raft data has vanished")

// run starts the server that m describes; fresh says that it may be without data. s.life is held.
func (s *Store) run(m memo, fresh bool) error {
	v, err := s.startServer(m, fresh)
	if errors.Is(err, errNoData) {
		s.log.Warn("the copy of the block store is gone, going on as a client", "path", s.cfg.Dir)
		return s.dropServer(m.Registry)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.server = v
	s.greeted = make(map[[32]byte]uint64) // as what, has changed
	s.mu.Unlock()
	go s.lead(v)
	return nil
}

// stopServer stops the server if there is one. s.life is held.
func (s *Store) stopServer() error {
	s.mu.Lock()
	v := s.server
	s.server = nil
	s.mu.Unlock()
	if v == nil {
		return nil
	}
	return v.close()
}

// dropServer makes this node a client that follows r. The data is out of use before it goes. s.life is held.
func (s *Store) dropServer(r identity) error {
	err := s.stopServer()
	if err != nil {
		s.log.Debug("stopping raft", "err", err)
	}
	m := memo{Registry: r}
	if err := s.disk.writeMemo(m); err != nil {
		return err
	}
	s.setMemo(m)
	return s.disk.discard()
}

// obey makes this node a client of r, a newer generation of its registry. s.life is held.
func (s *Store) obey(r identity) {
	if err := s.dropServer(r); err != nil {
		s.failed(fmt.Errorf("following generation %d: %w", r.Generation, err))
		return
	}
	s.mu.Lock()
	s.failure = nil
	s.mu.Unlock()
	s.log.Warn("the block store was recovered elsewhere, following it", "generation", r.Generation)
}

func (s *Store) setMemo(m memo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memo.Registry != m.Registry {
		s.seen = 0 // another log
	}
	s.memo = m
	if s.hint.registry != m.Registry {
		s.hint = standing{registry: m.Registry}
	}
}

// current returns the running server, nil if there is none, and the memo.
func (s *Store) current() (*server, memo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server, s.memo
}

// accept hands each stream of l to handle, in a goroutine of its own, until l is closed.
func (s *Store) accept(l net.Listener, handle func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer context.AfterFunc(s.ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
			handle(c)
		})
	}
}
