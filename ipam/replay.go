package ipam

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrCorrupt means that the journal has damage which no crash leaves. The error's text says what to do.
var ErrCorrupt = errors.New("corrupt journal")

// damage is a place in the journal that cannot be read, and why.
type damage struct {
	offset int
	reason error
}

func (d *damage) Error() string { return fmt.Sprintf("at offset %d: %v", d.offset, d.reason) }

func (d *damage) Unwrap() error { return d.reason }

// replay reads a journal. good is the length of the part that can be read; what follows it, at most one record, was not
// acknowledged. The error is a *damage. The leases are in the subnet that the header names.
func replay(b []byte) (h header, t *table, good int, err error) {
	h, snapshot, err := parseHeader(b)
	if err != nil {
		return header{}, nil, 0, &damage{0, err}
	}
	t = newTable(h.prefix())
	for good = headerLen; good < len(b); {
		body, ok := parseRecord(b[good:])
		if !ok {
			if err := checkTail(b, good, snapshot); err != nil {
				return header{}, nil, 0, err
			}
			break
		}
		if err := t.applyAll(body); err != nil {
			return header{}, nil, 0, &damage{good, err}
		}
		good += recordHead + len(body)
	}
	return h, t, good, nil
}

// checkTail decides whether b[good:], which does not begin with a record, can be what a crash left of the last one.
func checkTail(b []byte, good, snapshot int) error {
	tail := b[good:]
	if good < snapshot {
		return &damage{good, errors.New("a record that was on disk before the file had its name is damaged")}
	}
	if len(tail) > maxRecord {
		return &damage{good, fmt.Errorf("%d bytes are unreadable, more than one unfinished record", len(tail))}
	}
	if next, ok := findRecord(tail); ok {
		return &damage{good, fmt.Errorf("a record is damaged, though a good one follows at offset %d", good+next)}
	}
	return nil
}

func (t *table) applyAll(body []byte) error {
	for len(body) > 0 {
		e, rest, err := parseEntry(body)
		if err != nil {
			return err
		}
		if err := t.apply(&e); err != nil {
			return err
		}
		body = rest
	}
	return nil
}

// prefix returns the subnet, a /64.
func (h *header) prefix() netip.Prefix {
	var addr [16]byte
	copy(addr[:], h.subnet[:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}
