package ipam

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"meshnet/ipam/registry"
)

// terms is what the block store said last, and what this node owns under: all it needs to lease while cut off.
type terms struct {
	Registry   registry.ID
	Generation uint64
	Epoch      uint64 // 0: not admitted
	Pools      []registry.Pool
	Reserved   []registry.Reservation
	Timing     registry.Timing
}

func (t *terms) encode() (string, error) {
	b, err := json.Marshal(t)
	if err == nil && len(b) > maxTerms {
		err = fmt.Errorf("pools and reservations take %d bytes, at most %d can be kept", len(b), maxTerms)
	}
	return string(b), err
}

func parseTerms(text string) (terms, error) {
	var t terms
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return terms{}, fmt.Errorf("what the block store said cannot be read: %w", err)
	}
	for _, p := range t.Pools {
		if _, err := p.Normal(); err != nil {
			return terms{}, fmt.Errorf("what the block store said is wrong: %w", err)
		}
	}
	return t, nil
}

// why returns nil if addr may be leased as far as pools and reservations are concerned.
func (t *terms) why(addr netip.Addr) error {
	pool, ok := registry.PoolOf(t.Pools, addr)
	if !ok {
		return fmt.Errorf("%v is in none of the pools %v: %w", addr, t.prefixes(), registry.ErrOutside)
	}
	what := ""
	switch pool.Why(addr) {
	case registry.OK:
	case registry.NetworkAddress:
		what = "the network address"
	case registry.BroadcastAddress:
		what = "the broadcast address"
	case registry.GatewayAddress:
		what = "the gateway"
	default:
		what = "an excluded address"
	}
	if what != "" {
		return fmt.Errorf("%v is %s of pool %v: %w", addr, what, pool.Prefix, registry.ErrUnusable)
	}
	for _, r := range t.Reserved {
		if r.Contains(addr) {
			return fmt.Errorf("%v is in the reserved range %v to %v%s; release it first (meshctl ipam release): %w", addr, r.First, r.Last, remark(r.Comment),
				registry.ErrReserved)
		}
	}
	return nil
}

// remark returns a comment in brackets, if there is one.
func remark(comment string) string {
	if comment == "" {
		return ""
	}
	return " (" + comment + ")"
}

func (t *terms) prefixes() []netip.Prefix {
	var p []netip.Prefix
	for _, pool := range t.Pools {
		p = append(p, pool.Prefix)
	}
	return p
}
