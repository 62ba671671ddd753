package registry

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What an error of Result.Err may wrap.
var (
	ErrInvalid         = errors.New("invalid command")
	ErrCorrupt         = errors.New("registry is corrupt")
	ErrEmpty           = errors.New("there is no registry yet")
	ErrOtherRegistry   = errors.New("this is another registry")
	ErrStaleRegistry   = errors.New("this copy of the registry is outdated")
	ErrStaleGeneration = errors.New("the registry was recovered")
	ErrRefreshFirst    = errors.New("this start of the node is not registered yet")
	ErrFenced          = errors.New("fenced")
	ErrSuperseded      = errors.New("a later start of this node is registered")
	ErrLate            = errors.New("overtaken by a later command")
	ErrUnknownNode     = errors.New("unknown node")
	ErrExhausted       = errors.New("no free block")
	ErrRecovering      = errors.New("the registry is being recovered")
	ErrTaken           = errors.New("in use") // HeldByBlock, HeldByClaim, Cooling
	ErrReserved        = errors.New("reserved")
	ErrOutside         = errors.New("outside the pools")
	ErrUnusable        = errors.New("never leased") // network, broadcast, gateway and excluded addresses
	ErrNotOwner        = errors.New("not the owner")
	ErrOverlap         = errors.New("pools overlap")
	ErrNotReserved     = errors.New("not reserved")
)

// sentinels holds what each code but OK wraps.
var sentinels = [codeEnd]error{
	Invalid:          ErrInvalid,
	Corrupt:          ErrCorrupt,
	Empty:            ErrEmpty,
	OtherRegistry:    ErrOtherRegistry,
	StaleRegistry:    ErrStaleRegistry,
	StaleGeneration:  ErrStaleGeneration,
	RefreshFirst:     ErrRefreshFirst,
	Fenced:           ErrFenced,
	Superseded:       ErrSuperseded,
	Late:             ErrLate,
	UnknownNode:      ErrUnknownNode,
	Exhausted:        ErrExhausted,
	Recovering:       ErrRecovering,
	HeldByBlock:      ErrTaken,
	HeldByClaim:      ErrTaken,
	Cooling:          ErrTaken,
	Reserved:         ErrReserved,
	Outside:          ErrOutside,
	NetworkAddress:   ErrUnusable,
	BroadcastAddress: ErrUnusable,
	GatewayAddress:   ErrUnusable,
	Excluded:         ErrUnusable,
	NotOwner:         ErrNotOwner,
	Overlap:          ErrOverlap,
	NotReserved:      ErrNotReserved,
}

// Err returns nil for OK. Else it returns an error of one sentence that names what and who stands in the way, and the way out where there is
// one; it wraps one of the sentinels above.
func (r Result) Err() error {
	if r.Code == OK {
		return nil
	}
	if r.Code >= codeEnd {
		return fmt.Errorf("%w: the registry answered %v", ErrInvalid, r.Code)
	}
	return fmt.Errorf(r.format(), sentinels[r.Code])
}

// format returns the sentence with %w where the sentinel goes.
func (r Result) format() string {
	text := r.caller()
	if text == "" {
		text = r.refusal()
	}
	// The facts may hold a percent sign; only the marker is a verb.
	return strings.ReplaceAll(strings.ReplaceAll(text, "%", "%%"), marker, "%w")
}

const marker = "\x00"

// caller says why the registry does not listen to the caller; empty if it does.
func (r Result) caller() string {
	switch r.Code {
	case Invalid, Corrupt:
		return fmt.Sprintf("%s: %s", marker, r.Comment)
	case Empty:
		return marker + ": the node that creates the network makes it"
	case OtherRegistry:
		return fmt.Sprintf("%s than the one this node belongs to: it is %s, made by %s at %s",
			marker, r.Registry.String()[:8], r.who(), stamp(r.CreatedAt))
	case StaleRegistry:
		return fmt.Sprintf("%s: it is of generation %d, and the node has accepted a later one", marker, r.Generation)
	case StaleGeneration:
		return fmt.Sprintf("%s: the node has to refresh under generation %d first", marker, r.Generation)
	case RefreshFirst:
		return marker + ": it has to refresh first"
	case Fenced:
		return fmt.Sprintf("this node's blocks are no longer its own: %s: %s", marker, r.Comment)
	case Superseded:
		return marker + ": two hosts run with the same identity, or this one was restored; give one of them an identity of its own"
	case Late:
		return marker + " of the same node"
	}
	return ""
}

// refusal says why the registry does not do what the caller wants.
func (r Result) refusal() string {
	switch r.Code {
	case UnknownNode:
		return fmt.Sprintf("node %s: %s: it was never admitted, or not under this epoch", r.who(), marker)
	case Exhausted:
		return r.exhausted()
	case Recovering:
		return r.recovering()
	case HeldByBlock:
		return fmt.Sprintf("address %v: %s: it is in block %v of node %s", r.Addr, marker, r.Block, r.who())
	case HeldByClaim:
		return fmt.Sprintf("address %v: %s by %s on node %s", r.Addr, marker, orElse(r.Attachment, "a claim"), r.who())
	case Cooling:
		return fmt.Sprintf("address %v: %s until %s: it was node %s's a short time ago", r.Addr, marker, stamp(r.Until), r.who())
	case Reserved:
		return fmt.Sprintf("address %v: %s: %s", r.Addr, marker, orElse(r.Comment, "no comment"))
	case Outside:
		return fmt.Sprintf("%s: %s of this network", r.subject(), marker)
	case NetworkAddress, BroadcastAddress, GatewayAddress, Excluded:
		return fmt.Sprintf("address %v: %s: it is %s pool %v", r.Addr, marker, roles[r.Code], r.Pool)
	case NotOwner:
		return fmt.Sprintf("%s: this node is %s of block %v", r.subject(), marker, r.Block)
	case Overlap:
		return fmt.Sprintf("pool %v: %s: there is pool %v already", r.Pool, marker, r.Block)
	case NotReserved:
		return fmt.Sprintf("the range from %v: %s: name the first and last address as in the reservation", r.Addr, marker)
	}
	return marker
}

var roles = map[Code]string{
	NetworkAddress:   "the network address of",
	BroadcastAddress: "the broadcast address of",
	GatewayAddress:   "the gateway of",
	Excluded:         "excluded from",
}

func (r Result) exhausted() string {
	pool := "the pools"
	if r.Pool.IsValid() {
		pool = "pool " + r.Pool.String()
	}
	return fmt.Sprintf("%s is left in %s (%s): remove nodes that are gone (meshctl node remove), or detach what is not needed", marker, pool, users(r.Usage))
}

func (r Result) recovering() string {
	switch {
	case len(r.Usage) > 0:
		return fmt.Sprintf("%s: nothing new is given out until these nodes have been heard or removed: %s", marker, users(r.Usage))
	default:
		return fmt.Sprintf("%s: nothing new is given out until %s", marker, stamp(r.Until))
	}
}

// users lists the first few nodes of use.
func users(use []NodeUse) string {
	const most = 5
	var parts []string
	for _, u := range use[:min(len(use), most)] {
		parts = append(parts, fmt.Sprintf("%s %d", orElse(u.Name, u.Node.Short()), u.Blocks))
	}
	switch {
	case len(use) == 0:
		return "no node owns a block"
	case len(use) > most:
		parts = append(parts, fmt.Sprintf("and %d or more others", len(use)-most))
	}
	return "blocks of " + strings.Join(parts, ", ")
}

func (r Result) who() string { return orElse(r.HolderName, r.Holder.Short()) }

func (r Result) subject() string {
	switch {
	case r.Addr.IsValid():
		return "address " + r.Addr.String()
	case r.Block.IsValid():
		return "block " + r.Block.String()
	}
	return "pool " + r.Pool.String()
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
