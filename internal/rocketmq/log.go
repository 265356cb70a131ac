package rocketmq

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/apache/rocketmq-client-go/v2/rlog"

	"gannet/internal/operate"
)

// The library has one log for the whole process, which is set before the first client is
// made and goes to wherever the newest client logs.
var (
	logOnce sync.Once
	logNow  atomic.Pointer[slog.Logger]
)

func logTo(log *slog.Logger) {
	logNow.Store(log)
	logOnce.Do(func() { rlog.SetLogger(&library{}) })
}

// library is the logger that rocketmq-client-go gets. It passes on at most one warning and one
// error per second, because the library logs the same line for every call that fails.
type library struct{ warnings, errors operate.Seldom }

func (*library) Debug(string, map[string]any) {}
func (*library) Info(string, map[string]any)  {}

func (l *library) Warning(message string, fields map[string]any) {
	if l.warnings.Now() {
		say(slog.LevelWarn, message, fields)
	}
}

func (l *library) Error(message string, fields map[string]any) {
	if l.errors.Now() {
		say(slog.LevelWarn, message, fields) // the caller says what the error means for us
	}
}

func (l *library) Fatal(message string, fields map[string]any) {
	say(slog.LevelError, message, fields)
}

func (*library) Level(string)            {}
func (*library) OutputPath(string) error { return nil }

func say(level slog.Level, message string, fields map[string]any) {
	args := make([]any, 0, 2*len(fields))
	for key, value := range fields {
		args = append(args, key, value)
	}
	logNow.Load().Log(context.Background(), level, "rocketmq client: "+message, args...)
}
