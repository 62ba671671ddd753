package raftstore

import (
	"sync"

	"github.com/hashicorp/raft"
)

// inbox is a transport whose owner can put in a message of its own.
type inbox struct {
	*raft.NetworkTransport
	messages chan raft.RPC
	stop     chan struct{}
	closing  sync.Once
	wg       sync.WaitGroup
}

func newInbox(t *raft.NetworkTransport) *inbox {
	b := &inbox{NetworkTransport: t, messages: make(chan raft.RPC), stop: make(chan struct{})}
	b.wg.Go(func() {
		for {
			select {
			case m := <-t.Consumer():
				b.put(m)
			case <-b.stop:
				return
			}
		}
	})
	return b
}

func (b *inbox) put(m raft.RPC) {
	select {
	case b.messages <- m:
	case <-b.stop:
	}
}

// Consumer implements raft.Transport.
func (b *inbox) Consumer() <-chan raft.RPC { return b.messages }

// hurry makes raft hold an election at once. An only voter has nobody to wait for, least of all a heartbeat: with timeouts for
// the other side of the world, the first address of a network would take seconds.
func (b *inbox) hurry() {
	now := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	b.wg.Go(func() { b.put(raft.RPC{Command: now, RespChan: make(chan raft.RPCResponse, 1)}) })
}

// Close implements raft.WithClose; raft calls it when it has ended.
func (b *inbox) Close() error {
	b.closing.Do(func() { close(b.stop) })
	err := b.NetworkTransport.Close()
	b.wg.Wait()
	return err
}
