package rpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/cloudwego/kitex/pkg/klog"

	"gannet/internal/operate"
)

// Kitex has one log for the whole process. Most lines are about something that a peer did. The
// counters of this package count that already, and a peer may do it a thousand times a second.
func init() { klog.SetLogger(kitexLog{}) }

// kitexLog passes warnings and errors of Kitex on to the log of the process, at most one line a
// second for each format.
type kitexLog struct{}

// kitexSays has an operate.Seldom for each format. Kitex has about a hundred formats. Lines that
// Kitex puts together itself share one.
var kitexSays sync.Map

func (kitexLog) say(level slog.Level, reason, text string) {
	seldom, _ := kitexSays.LoadOrStore(reason, new(operate.Seldom))
	if seldom.(*operate.Seldom).Now() {
		text, _, _ = strings.Cut(text, "\nstack=")
		slog.Log(context.Background(), level, "kitex: "+strings.TrimPrefix(text, "KITEX: "))
	}
}

func (l kitexLog) warn(format string, v ...any) {
	l.say(slog.LevelWarn, format, fmt.Sprintf(format, v...))
}

// requestFailed begins the format with which Kitex's server says that a request was not read.
const requestFailed = "KITEX: processing request error"

// fail is for what Kitex calls errors: that a peer closed, sent rubbish or did not answer.
// None of it is an error of this process.
func (l kitexLog) fail(format string, v ...any) {
	text, _, _ := strings.Cut(fmt.Sprintf(format, v...), "\nstack=")
	if strings.HasPrefix(format, requestFailed) && strings.HasSuffix(text, "i/o timeout") {
		return // the server closes a connection on which nobody has called for long
	}
	l.say(slog.LevelWarn, format, text)
}

func (l kitexLog) Warnf(format string, v ...any)                        { l.warn(format, v...) }
func (l kitexLog) Errorf(format string, v ...any)                       { l.fail(format, v...) }
func (l kitexLog) Fatalf(format string, v ...any)                       { l.fail(format, v...) }
func (l kitexLog) CtxWarnf(_ context.Context, format string, v ...any)  { l.warn(format, v...) }
func (l kitexLog) CtxErrorf(_ context.Context, format string, v ...any) { l.fail(format, v...) }
func (l kitexLog) CtxFatalf(_ context.Context, format string, v ...any) { l.fail(format, v...) }
func (l kitexLog) Warn(v ...any)                                        { l.say(slog.LevelWarn, "warn", fmt.Sprint(v...)) }
func (l kitexLog) Error(v ...any)                                       { l.say(slog.LevelWarn, "error", fmt.Sprint(v...)) }
func (l kitexLog) Fatal(v ...any)                                       { l.say(slog.LevelWarn, "fatal", fmt.Sprint(v...)) }
func (kitexLog) Trace(...any)                                           {}
func (kitexLog) Debug(...any)                                           {}
func (kitexLog) Info(...any)                                            {}
func (kitexLog) Notice(...any)                                          {}
func (kitexLog) Tracef(string, ...any)                                  {}
func (kitexLog) Debugf(string, ...any)                                  {}
func (kitexLog) Infof(string, ...any)                                   {}
func (kitexLog) Noticef(string, ...any)                                 {}
func (kitexLog) CtxTracef(context.Context, string, ...any)              {}
func (kitexLog) CtxDebugf(context.Context, string, ...any)              {}
func (kitexLog) CtxInfof(context.Context, string, ...any)               {}
func (kitexLog) CtxNoticef(context.Context, string, ...any)             {}
func (kitexLog) SetLevel(klog.Level)                                    {}
func (kitexLog) SetOutput(io.Writer)                                    {}
