package acme

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// core hands what the library says to slog. What the library finds worth an
// information is for who looks for a fault; its debugging, which has the
// octets of requests, goes nowhere.
type core struct{ log *slog.Logger }

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l >= zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled is part of zapcore.Core.
func (c core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && c.log.Enabled(context.Background(), level(l))
}

// With is part of zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	var args []any
	for _, a := range attrs(fields) {
		args = append(args, a)
	}
	return core{c.log.With(args...)}
}

// Check is part of zapcore.Core.
func (c core) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write is part of zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	all := append([]slog.Attr{slog.String("event", e.Message)}, attrs(fields)...)
	c.log.LogAttrs(context.Background(), level(e.Level), "acme", all...)
	return nil
}

// Sync is part of zapcore.Core.
func (core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	var all []slog.Attr
	for _, f := range fields {
		one := zapcore.NewMapObjectEncoder()
		f.AddTo(one)
		for key, value := range one.Fields {
			all = append(all, slog.Any(key, value))
		}
	}
	return all
}
