package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// laterStore is a block store that could not be opened yet. It implements ipam.BlockStore: until it can, it decides nothing.
type laterStore struct {
	engine string
	cancel context.CancelFunc
	ended  chan struct{}

	mu    sync.Mutex
	store ipam.BlockStore // nil until it is open
	why   error           // it is not
}

// openLater returns a store that open is called for every interval, until that succeeds or the store is closed; why is the first
// failure.
func openLater(engine string, why error, interval time.Duration, open func() (ipam.BlockStore, error)) *laterStore {
	ctx, cancel := context.WithCancel(context.Background())
	l := &laterStore{engine: engine, cancel: cancel, ended: make(chan struct{}), why: why}
	go l.retry(ctx, interval, open)
	return l
}

func (l *laterStore) retry(ctx context.Context, interval time.Duration, open func() (ipam.BlockStore, error)) {
	defer close(l.ended)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		store, err := open()
		l.mu.Lock()
		l.store, l.why = store, err
		l.mu.Unlock()
		if err == nil {
			return
		}
	}
}

// opened returns the store itself, or why there is none.
func (l *laterStore) opened() (ipam.BlockStore, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		return nil, fmt.Errorf("%w: %w", ipam.ErrNoStore, l.why)
	}
	return l.store, nil
}

// Do implements ipam.BlockStore.
func (l *laterStore) Do(ctx context.Context, c registry.Command) (registry.Result, error) {
	store, err := l.opened()
	if err != nil {
		return registry.Result{}, err
	}
	return store.Do(ctx, c)
}

// View implements ipam.BlockStore.
func (l *laterStore) View(ctx context.Context) (registry.State, error) {
	store, err := l.opened()
	if err != nil {
		return registry.State{}, err
	}
	return store.View(ctx)
}

// Status implements ipam.BlockStore.
func (l *laterStore) Status() ipam.StoreStatus {
	store, err := l.opened()
	if err != nil {
		return ipam.StoreStatus{Engine: l.engine, Role: ipam.RoleClient, Err: err}
	}
	return store.Status()
}

// Close implements ipam.BlockStore.
func (l *laterStore) Close() error {
	l.cancel()
	<-l.ended
	if store, err := l.opened(); err == nil {
		return store.Close()
	}
	return nil
}
