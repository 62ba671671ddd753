package path

import "time"

// choose begins to probe what is to be probed now, or says when something will be.
func (p *Path) choose(now time.Time) {
	switch {
	case p.suspect != 0 || p.state == BaseState || p.state == Degraded:
		p.begin(p.size)
	case p.state == Searching:
		p.search(now)
	case now.Sub(p.proven) >= ConfirmInterval:
		p.begin(p.size)
	case p.size < p.max() && !now.Before(p.raise):
		p.limit, p.state = p.max()+1, Searching
		p.search(now)
	default:
		p.due = p.proven.Add(ConfirmInterval)
	}
}

func (p *Path) begin(size int) { p.probe = attempt{size: size} }

// search begins to probe the next size, or ends the search.
func (p *Path) search(now time.Time) {
	if size := p.candidate(); size != 0 {
		p.begin(size)
		return
	}
	p.state, p.raise, p.due = Complete, now.Add(RaiseTime), p.proven.Add(ConfirmInterval)
}

// candidate returns the size to be tried next, larger than the current one and smaller than the limit: the largest usual one; then,
// since that is it on most paths, one that is just a little larger; then what is half way. 0: there is none worth it.
func (p *Path) candidate() int {
	found := p.size == Base
	for _, packet := range usual {
		size := packet - p.headers
		if size > p.size && size < p.limit {
			return size
		}
		found = found || size == p.size
	}
	gap := p.limit - p.size
	switch {
	case gap <= granularity:
		return 0
	case found:
		return p.size + granularity
	}
	return p.size + gap/2
}
