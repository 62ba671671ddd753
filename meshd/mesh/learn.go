package mesh

import "time"

// learner is how one goroutine of the frame path tells control what it noticed. Until control has published what it
// made of a report, each further frame brings the same news; it is not repeated before publishInterval has passed, so
// that neither a fast new station nor one that two peers claim floods control.
type learner struct {
	sw       *Switch
	reported [64]news // by the low bits of the MAC: a cache
}

// news is a report that was made.
type news struct {
	mac MAC
	at  time.Duration // since shared.origin
}

// observe notes that a frame from src came from peer p: it refreshes the entry that says so, or reports the news.
func (l *learner) observe(now time.Time, fdb table, src MAC, from *peer) {
	sh := l.sw.shared
	e := fdb[src]
	switch {
	case e != nil && e.peer == from:
		e.refresh(sh.age(now))
	case e != nil && e.static:
		l.sw.drop(dropLearnStatic)
	case from.full.Load(), e == nil && sh.full.Load():
		l.sw.drop(dropLearnLimit)
	default:
		l.report(sh.age(now), src, from)
	}
}

// report tells control that src is behind peer from, unless src was in the news just now.
func (l *learner) report(now time.Duration, src MAC, from *peer) {
	last := &l.reported[src[5]%byte(len(l.reported))]
	if last.mac == src && now-last.at < publishInterval {
		return
	}
	if !l.sw.report.Learn(src, from.id) {
		l.sw.drop(dropLearnQueue)
		return
	}
	*last = news{mac: src, at: now}
}
