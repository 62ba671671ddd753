package ipam

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
)

var (
	errPower = errors.New("the power is off")
	errDisk  = syscall.EIO
)

// memDirectory is a disk that fails to order and loses what was not synced. The zero faults are a good, endless disk.
type memDirectory struct {
	mu      sync.Mutex
	names   map[string]*inode // as the kernel shows them
	durable map[string]*inode // as a crash leaves them, if it does not leave names

	full         bool // writes find room bytes
	room         int
	fuse         int // steps until the power fails; 0 = never
	off          bool
	failSync     bool // of files
	failDirSync  bool
	failTruncate bool
	failRename   bool
	syncs        int
}

// inode is a file. What is not in durable is lost in a crash, or torn.
type inode struct {
	dir     *memDirectory
	data    []byte
	durable []byte
	stuck   bool // a sync has failed: the kernel takes the pages for clean and never writes them
}

func newMemDirectory() *memDirectory {
	return &memDirectory{names: map[string]*inode{}, durable: map[string]*inode{}}
}

// step burns the fuse. It is called with mu held, as each step of the disk begins.
func (d *memDirectory) step() error {
	if d.fuse > 0 {
		if d.fuse--; d.fuse == 0 {
			d.off = true
		}
	}
	if d.off {
		return errPower
	}
	return nil
}

// crash returns the disk that the next boot finds: what was synced, and of the rest whatever rng says.
func (d *memDirectory) crash(rng *rand.Rand) *memDirectory {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	names := d.durable
	if rng.IntN(2) == 0 {
		names = d.names
	}
	after := newMemDirectory()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b := names[name].torn(rng)
		after.names[name] = &inode{dir: after, data: b, durable: slices.Clone(b)}
	}
	after.durable = maps.Clone(after.names)
	return after
}

// torn returns the durable bytes and a part of those that were appended since, with holes where a page was not written.
func (f *inode) torn(rng *rand.Rand) []byte {
	b := slices.Clone(f.durable)
	if len(f.data) <= len(b) || f.stuck {
		return b
	}
	tail := slices.Clone(f.data[len(b):])
	tail = tail[:rng.IntN(len(tail)+1)]
	if len(tail) > 0 && rng.IntN(2) == 0 {
		from := rng.IntN(len(tail))
		clear(tail[from : from+rng.IntN(len(tail)-from)+1])
	}
	return append(b, tail...)
}

func (d *memDirectory) read(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.data), nil
}

func (d *memDirectory) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	f := &inode{dir: d}
	d.names[name] = f
	return f, nil
}

func (d *memDirectory) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.names[name], nil
}

func (d *memDirectory) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if d.failRename {
		return errDisk
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *memDirectory) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if d.failDirSync {
		return errDisk
	}
	d.durable = maps.Clone(d.names)
	return nil
}

func (d *memDirectory) path(name string) string { return "/mem/" + name }

func (d *memDirectory) close() error { return nil }

func (f *inode) WriteAt(p []byte, offset int64) (int, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := f.dir.step(); err != nil {
		if f.dir.fuse == 0 {
			f.put(p, offset) // the page cache had it; crash decides how much of it the disk got
			f.dir.fuse = -1
		}
		return 0, err
	}
	if more := int(offset) + len(p) - len(f.data); f.dir.full && more > f.dir.room {
		n := len(p) - more + f.dir.room
		f.dir.room = 0
		f.put(p[:n], offset)
		return n, syscall.ENOSPC
	} else if f.dir.full && more > 0 {
		f.dir.room -= more
	}
	f.put(p, offset)
	return len(p), nil
}

func (f *inode) put(p []byte, offset int64) {
	if int(offset) == len(f.data) {
		f.data = append(f.data, p...)
		return
	}
	end := int(offset) + len(p)
	f.data = slices.Concat(f.data[:offset], p, f.data[min(end, len(f.data)):])
	f.stuck = f.stuck && offset > 0 // overwritten from the start, its pages are dirty again
}

func (f *inode) Sync() error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	f.dir.syncs++
	if err := f.dir.step(); err != nil {
		return err
	}
	if f.dir.failSync {
		f.stuck = true
		return errDisk
	}
	if !f.stuck {
		f.durable = f.data[:len(f.data):len(f.data)] // put never changes bytes in their place
	}
	return nil
}

func (f *inode) Truncate(size int64) error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := f.dir.step(); err != nil {
		return err
	}
	if f.dir.failTruncate {
		return errDisk
	}
	f.dir.room += len(f.data) - int(size)
	f.data = f.data[:size:size]
	return nil
}

func (f *inode) Close() error { return nil }

func testConfig() Config {
	network := [16]byte{1}
	return Config{NetworkID: network, Node: [32]byte{2}, Key: [32]byte{3}, Prefix: ULA(network)}
}

func openMem(t testing.TB, d *memDirectory) *Store {
	t.Helper()
	s, err := open(d, testConfig())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}
