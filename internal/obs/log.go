// Package obs makes the log of a running server: lines for people, or JSON for
// machines, and the words in which logins and sessions are told.
//
// An event is one line of at most 4 KiB, whatever clients have sent: values
// are cut, and all that is not plain ASCII is escaped. A line is formatted
// without a lock and written in one piece.
package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxLine  = 4096
	maxValue = 256
	maxStack = 2048 // a stack has no words of a client
)

// User is a user's name as a client gave it. In text it is written <name>, as
// Dovecot does.
type User string

// Stack is the stack of a goroutine.
type Stack string

// NewLogger returns a logger that writes to w, as JSON or as text.
func NewLogger(w io.Writer, json bool) *slog.Logger {
	if !json {
		return slog.New(newTextHandler(w))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: bounded}))
}

// bounded cuts the values of JSON lines, and gives durations in seconds.
func bounded(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	case slog.KindString:
		a.Value = slog.StringValue(cut(a.Value.String(), maxValue))
	case slog.KindAny:
		if stack, ok := a.Value.Any().(Stack); ok {
			a.Value = slog.StringValue(cut(string(stack), maxStack))
		} else {
			a.Value = slog.StringValue(cut(fmt.Sprint(a.Value.Any()), maxValue))
		}
	}
	return a
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// textHandler writes lines for people.
type textHandler struct {
	out    *output
	prefix string // of keys, from WithGroup
	attrs  []byte // formatted, from WithAttrs
}

func newTextHandler(w io.Writer) *textHandler { return &textHandler{out: &output{w: w}} }

// output is shared by a handler and those made of it.
type output struct {
	lines sync.Pool // of *[]byte
	mu    sync.Mutex
	w     io.Writer
}

func (o *output) write(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.w.Write(p)
	return err
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	buf, ok := h.out.lines.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	b := (*buf)[:0]
	b = r.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, ' ')
	b = append(b, r.Level.String()...)
	b = append(b, ' ')
	b = appendEscaped(b, cut(r.Message, maxValue), " ")
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return true
	})
	if len(b) >= maxLine {
		b = append(b[:maxLine-4], "..."...)
	}
	b = append(b, '\n')
	*buf = b
	defer h.out.lines.Put(buf)
	return h.out.write(b)
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		more.attrs = appendAttr(more.attrs, h.prefix, a)
	}
	return &more
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	more := *h
	more.prefix += name + "."
	return &more
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		for _, inner := range value.Group() {
			b = appendAttr(b, prefix+a.Key+".", inner)
		}
		return b
	}
	b = append(b, ' ')
	b = append(b, prefix...)
	b = append(b, a.Key...)
	b = append(b, '=')
	switch value.Kind() {
	case slog.KindString:
		return appendValue(b, cut(value.String(), maxValue))
	case slog.KindInt64:
		return strconv.AppendInt(b, value.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, value.Uint64(), 10)
	case slog.KindFloat64:
		return strconv.AppendFloat(b, value.Float64(), 'f', -1, 64)
	case slog.KindDuration:
		return append(b, value.Duration().Round(time.Millisecond).String()...)
	case slog.KindBool, slog.KindTime:
		return appendValue(b, value.String())
	}
	switch v := value.Any().(type) {
	case User:
		b = append(b, '<')
		b = appendEscaped(b, cut(string(v), maxValue), "")
		return append(b, '>')
	case Stack:
		return appendValue(b, cut(string(v), maxStack))
	default:
		return appendValue(b, cut(fmt.Sprint(v), maxValue))
	}
}

// appendValue appends s, in quotes if it has something in it that might be
// taken for the end of a value.
func appendValue(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, " =\"<>") {
		return appendEscaped(b, s, "")
	}
	b = append(b, '"')
	b = appendEscaped(b, s, " =<>")
	return append(b, '"')
}

// appendEscaped appends s with everything escaped but letters, digits and
// plain punctuation, and what plain allows.
func appendEscaped(b []byte, s, plain string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\' || c == '"':
			b = append(b, '\\', c)
		case c > ' ' && c < 0x7f && c != '<' && c != '>' || strings.IndexByte(plain, c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return b
}
