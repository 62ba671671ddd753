package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"meshnet/ipam/registry"
	"meshnet/meshd/session"
)

// protoCarve is the stream on which a node asks the owner of a block for one address in it (docs/protocol.md, "Carving out an
// address"). One request and one answer, each a JSON object.
const protoCarve = "carve"

const (
	carveTimeout = 5 * time.Second
	maxCarve     = 4096 // bytes of a request or an answer
)

// carveRequest asks for an address in a block of the node that it is sent to. Who asks is proven by the stream.
type carveRequest struct {
	Addr       netip.Addr `json:"addr"`
	Epoch      uint64     `json:"epoch"` // under which the asking node owns
	Attachment string     `json:"attachment"`
}

// carveAnswer says why the address is not given, if it is not.
type carveAnswer struct {
	Taken bool   `json:"taken,omitempty"` // it is in use there
	Error string `json:"error,omitempty"`
}

// carve asks owner to leave addr to this node.
func (n *Node) carve(ctx context.Context, owner registry.NodeID, addr netip.Addr, epoch uint64, attachment string) error {
	ctx, cancel := context.WithTimeout(ctx, carveTimeout)
	defer cancel()
	conn, err := n.control.Dial(ctx, session.NodeID(owner), protoCarve)
	if err != nil {
		return fmt.Errorf("asking the owner of its block: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := json.NewEncoder(conn).Encode(carveRequest{Addr: addr, Epoch: epoch, Attachment: attachment}); err != nil {
		return fmt.Errorf("asking the owner of its block: %w", err)
	}
	var a carveAnswer
	if err := json.NewDecoder(io.LimitReader(conn, maxCarve)).Decode(&a); err != nil {
		return fmt.Errorf("waiting for the owner of its block: %w", err)
	}
	switch {
	case a.Taken:
		return fmt.Errorf("%w: %s", registry.ErrTaken, a.Error)
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}

// serveCarve answers other nodes' requests until the listener is closed.
func (n *Node) serveCarve(ctx context.Context, l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close()
			if err := n.answerCarve(ctx, conn); err != nil {
				n.log.Warn("a request for a single address failed", "peer", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

func (n *Node) answerCarve(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, carveTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	peer, err := session.ParseNodeID(conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	var r carveRequest
	if err := json.NewDecoder(io.LimitReader(conn, maxCarve)).Decode(&r); err != nil {
		return err
	}
	var a carveAnswer
	if err := n.manager.CarveOut(ctx, r.Addr, registry.NodeID(peer), r.Epoch, r.Attachment); err != nil {
		a = carveAnswer{Taken: errors.Is(err, registry.ErrTaken), Error: err.Error()}
	}
	return json.NewEncoder(conn).Encode(a)
}
