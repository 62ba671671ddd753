package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// openStore is a block store that decides everything.
type openStore struct {
	ipam.BlockStore
	closed int
}

func (*openStore) Do(context.Context, registry.Command) (registry.Result, error) {
	return registry.Result{}, nil
}
func (*openStore) View(context.Context) (registry.State, error) { return registry.State{}, nil }
func (*openStore) Status() ipam.StoreStatus                     { return ipam.StoreStatus{Engine: "open"} }
func (o *openStore) Close() error                               { o.closed++; return nil }

// "Until it can, it decides nothing": and says why; it is tried again, and closed in either state.
func TestLaterStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, tries := &openStore{}, 0
		full := errors.New("disk full")
		l := openLater("raft", full, time.Minute, func() (ipam.BlockStore, error) {
			if tries++; tries < 3 {
				return nil, full
			}
			return store, nil
		})
		for range 3 {
			if _, err := l.Do(t.Context(), registry.Command{}); !errors.Is(err, ipam.ErrNoStore) || !errors.Is(err, full) {
				t.Errorf("Do() after %d tries = %v, want ErrNoStore and the reason", tries, err)
			}
			if _, err := l.View(t.Context()); !errors.Is(err, full) {
				t.Errorf("View() after %d tries = %v, want the reason", tries, err)
			}
			if s := l.Status(); s.Engine != "raft" || !errors.Is(s.Err, full) {
				t.Errorf("Status() after %d tries = %+v, want raft and the reason", tries, s)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if _, err := l.Do(t.Context(), registry.Command{}); err != nil || l.Status().Engine != "open" {
			t.Errorf("Do() after it could be opened = %v, status %+v", err, l.Status())
		}
		if err := l.Close(); err != nil || store.closed != 1 {
			t.Errorf("Close() = %v, closed %d times", err, store.closed)
		}
		never := openLater("etcd", full, time.Minute, func() (ipam.BlockStore, error) { return nil, full })
		if err := never.Close(); err != nil {
			t.Errorf("Close() of what never opened = %v", err)
		}
	})
}
