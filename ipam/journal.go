package ipam

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"syscall"
)

const (
	journalName = "leases.journal"
	newName     = "leases.journal.new" // being written; has no meaning until it is renamed
	lockName    = "leases.lock"
)

// ErrForeign means that the journal holds the leases of another network or of another node.
var ErrForeign = errors.New("foreign journal")

// ErrFailed means that the disk failed in a way that leaves unknown what is on it. Nothing is leased or released until Open.
var ErrFailed = errors.New("the journal has failed")

// journal is the file behind a table. One goroutine at a time may use it.
type journal struct {
	dir    directory
	log    *slog.Logger
	head   header
	f      file
	size   int64 // bytes that are durable, and the end of the file unless failed
	limit  int64 // bytes from which on compaction is worth its while
	failed error // what made the rest unknown; wraps ErrFailed
}

// openJournal reads the journal in dir, or starts one if there is none, and returns it with the leases in it.
func openJournal(dir directory, head header, log *slog.Logger) (*journal, *table, error) {
	j := &journal{dir: dir, log: log, head: head}
	b, err := dir.read(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		t := newTable(head.prefix())
		if err := j.rewrite(t); err != nil {
			j.close()
			return nil, nil, fmt.Errorf("starting %s: %w", dir.path(journalName), err)
		}
		return j, t, nil
	}
	if err != nil {
		return nil, nil, err
	}
	found, t, good, err := replay(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s %w; restore the file from a backup, or move it away and restart the containers: meshd "+
			"then derives each one's address again, the same as before unless two had collided",
			ErrCorrupt, dir.path(journalName), err)
	}
	if err := found.mustBe(&head, dir.path(journalName)); err != nil {
		return nil, nil, err
	}
	if good < len(b) {
		log.Warn("cut off an unfinished record, as a crash leaves it; nobody was told of it",
			"file", dir.path(journalName), "offset", good, "bytes", len(b)-good)
	}
	if err := j.reopen(t, b[:good]); err != nil {
		j.close()
		return nil, nil, fmt.Errorf("reopening %s: %w", dir.path(journalName), err)
	}
	return j, t, nil
}

func (h *header) mustBe(want *header, path string) error {
	switch {
	case h.network != want.network:
		return fmt.Errorf("%w: %s is of network %x, not of %x; move it away", ErrForeign, path, h.network, want.network)
	case h.node != want.node:
		return fmt.Errorf("%w: %s is of node %x, this one is %x; a state directory must not be copied to another host, "+
			"move the file away", ErrForeign, path, h.node[:5], want.node[:5])
	case h.subnet != want.subnet:
		return fmt.Errorf("%w: the leases in %s are in %v, the network's prefix is now %v; give it back its prefix, or stop "+
			"the containers and move the file away", ErrForeign, path, h.prefix(), want.prefix())
	}
	return nil
}

// reopen makes durable what replay has read, b. It cannot trust an fsync alone: if one failed before the restart, the kernel
// may hold pages as clean that are not on disk, and show them to replay all the same. So the leases are written anew. A full
// disk must not keep the network down; then the old file is overwritten by its own bytes, which needs no room.
func (j *journal) reopen(t *table, b []byte) error {
	err := j.rewrite(t)
	if err == nil || j.failed != nil {
		return err
	}
	j.log.Warn("could not write the journal anew, going on with the old file", "file", j.dir.path(journalName), "err", err)
	f, err := j.dir.open(journalName)
	if err != nil {
		return err
	}
	j.f, j.size = f, int64(len(b))
	j.limit = j.size + minGarbage
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	if err := f.Truncate(j.size); err != nil {
		return err
	}
	return f.Sync()
}

// append makes entries durable as one record; body has at most maxBody bytes. After an error none of it counts: either the
// file is as before and the next append may succeed, or the journal has failed for good.
func (j *journal) append(body []byte) error {
	if j.failed != nil {
		return j.failed
	}
	record := appendRecord(nil, body)
	n, err := j.f.WriteAt(record, j.size)
	if err == nil && n < len(record) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return j.rollBack(err)
	}
	if err := j.f.Sync(); err != nil {
		return j.fail(bare(err))
	}
	j.size += int64(len(record))
	return nil
}

// rollBack removes what a failed write has left. It needs no fsync: a crash may bring an unfinished record back, which replay
// cuts off, and the next append's fsync makes the new end durable too.
func (j *journal) rollBack(cause error) error {
	if err := j.f.Truncate(j.size); err != nil {
		return j.fail(fmt.Errorf("%w, and then cutting it off: %w", bare(cause), bare(err)))
	}
	cause = bare(cause)
	if errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT) {
		return fmt.Errorf("writing %s: %w; make room and try again", j.dir.path(journalName), cause)
	}
	return fmt.Errorf("writing %s: %w", j.dir.path(journalName), cause)
}

// fail ends the journal. After a failed fsync the kernel drops what it could not write and reports success the next time, so
// trying again would acknowledge leases that are not on disk.
func (j *journal) fail(cause error) error {
	j.failed = fmt.Errorf("%w: %s: %w; what is on the disk is unknown: check it and restart meshd",
		ErrFailed, j.dir.path(journalName), cause)
	return j.failed
}

// bare returns the system's error without the operation and the name that the file was made with.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}
