package main

import (
	"reflect"
	"time"

	"meshnet/meshd/api"
)

// Between tries of what has failed.
const (
	retryFirst = 2 * time.Second
	retryLast  = 2 * time.Minute
)

// retries are the requests that failed, by the interface they are for.
type retries map[api.AttachmentName]*retry

type retry struct {
	request  api.AttachRequest
	problems []problem
	delay    time.Duration
	next     time.Time
}

// waits reports whether the same request failed too short a time ago to be made again, and what was wrong then. Another request for the
// same interface is made at once.
func (t retries) waits(now time.Time, r api.AttachRequest) ([]problem, bool) {
	last := t[requestName(r)]
	if last == nil || !reflect.DeepEqual(last.request, r) || !now.Before(last.next) {
		return nil, false
	}
	return last.problems, true
}

// note keeps what came of a request.
func (t retries) note(now time.Time, r api.AttachRequest, problems []problem) {
	name := requestName(r)
	if len(problems) == 0 {
		delete(t, name)
		return
	}
	delay := retryFirst
	if last := t[name]; last != nil && reflect.DeepEqual(last.request, r) {
		delay = min(2*last.delay, retryLast)
	}
	t[name] = &retry{r, problems, delay, now.Add(delay)}
}

// next returns, after everything that is to be done was tried, after what time the first of them is due. What is due and was not tried
// nobody wants any more.
func (t retries) next(now time.Time) time.Duration {
	first := retryLast
	for name, r := range t {
		if !now.Before(r.next) {
			delete(t, name)
			continue
		}
		first = min(first, r.next.Sub(now))
	}
	return first
}

func requestName(r api.AttachRequest) api.AttachmentName {
	return api.AttachmentName{Container: r.Container, IfName: r.IfName}
}
