package registry

import "errors"

// What an error of Result.Err may wrap.
var (
	ErrInvalid         = errors.New("invalid command")
	ErrCorrupt         = errors.New("corrupt registry")
	ErrEmpty           = errors.New("no registry yet")
	ErrOtherRegistry   = errors.New("other registry")
	ErrStaleRegistry   = errors.New("outdated registry")
	ErrStaleGeneration = errors.New("outdated generation")
	ErrRefreshFirst    = errors.New("not refreshed since start")
	ErrFenced          = errors.New("fenced")
	ErrSuperseded      = errors.New("superseded")
	ErrLate            = errors.New("overtaken")
	ErrUnknownNode     = errors.New("unknown node")
	ErrExhausted       = errors.New("exhausted")
	ErrRecovering      = errors.New("recovering")
	ErrTaken           = errors.New("address in use") // HeldByBlock, HeldByClaim, Cooling
	ErrReserved        = errors.New("reserved")
	ErrOutside         = errors.New("outside of the pools")
	ErrUnusable        = errors.New("never leased") // network, broadcast, gateway and excluded addresses
	ErrNotOwner        = errors.New("not the owner")
	ErrOverlap         = errors.New("overlapping pools")
	ErrNotReserved     = errors.New("not reserved")
)
