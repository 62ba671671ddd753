package control

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logBurst is how many lines of memberlist pass in logWindow: a peer's broken packets must not fill the log.
	logBurst  = 10
	logWindow = 10 * time.Second
)

// logAdapter is the writer behind memberlist's log.Logger. Its lines begin with a level in brackets, which says how the
// line matters to memberlist; to an operator it matters a level less, for lost packets and dead peers are its daily
// business and Control itself logs who comes and goes.
type logAdapter struct {
	log     *slog.Logger
	dropped *atomic.Uint64

	mu    sync.Mutex
	began time.Time // of the current window
	lines int       // in it
}

// logLevels maps memberlist's levels.
var logLevels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug,
	"INFO":  slog.LevelDebug,
	"WARN":  slog.LevelDebug,
	"ERR":   slog.LevelInfo,
	"ERROR": slog.LevelInfo,
}

// Write implements io.Writer; log.Logger calls it with one line.
func (a *logAdapter) Write(line []byte) (int, error) {
	level, text := parseLogLine(line)
	if a.log.Enabled(context.Background(), level) && a.pass(time.Now()) {
		a.log.Log(context.Background(), level, "memberlist", "detail", text)
	}
	return len(line), nil
}

// parseLogLine splits "[LEVEL] memberlist: text\n".
func parseLogLine(line []byte) (slog.Level, string) {
	level := slog.LevelInfo
	line = bytes.TrimSpace(line)
	if rest, ok := bytes.CutPrefix(line, []byte("[")); ok {
		if name, text, ok := bytes.Cut(rest, []byte("] ")); ok {
			if l, ok := logLevels[string(name)]; ok {
				level, line = l, text
			}
		}
	}
	return level, string(bytes.TrimPrefix(line, []byte("memberlist: ")))
}

// pass reports whether there is room for one more line.
func (a *logAdapter) pass(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.began) >= logWindow {
		a.began, a.lines = now, 0
	}
	a.lines++
	if a.lines > logBurst {
		a.dropped.Add(1)
		return false
	}
	return true
}
