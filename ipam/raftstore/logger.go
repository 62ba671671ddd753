package raftstore

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// newRaftLog returns a logger for raft whose lines go to log, each a level less than raft thinks: dead peers and elections
// are its daily business, and Store itself logs who leads and who serves.
func newRaftLog(log *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: logWriter{log}, DisableTime: true})
}

// logWriter is given one line at a time: "[LEVEL]  raft: text\n".
type logWriter struct{ log *slog.Logger }

// Write implements io.Writer.
func (w logWriter) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, bytes.TrimSpace(line)
	if name, rest, ok := bytes.Cut(text, []byte("]")); ok {
		text = bytes.TrimPrefix(bytes.TrimSpace(rest), []byte("raft: "))
		if string(name) == "[ERROR" {
			level = slog.LevelInfo
		}
	}
	w.log.Log(context.Background(), level, "raft", "detail", string(text))
	return len(line), nil
}
