package main

import (
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// logSettings say what is logged and how. Logs go to stderr.
type logSettings struct {
	LogLevel  string `group:"run" enum:"debug,info,warn,error" default:"info" placeholder:"debug|info|warn|error" help:"Least severe line that is logged."`
	LogFormat string `group:"run" enum:"auto,json,console" default:"auto" placeholder:"json|console" help:"One JSON object a line, or columns for people. By itself: console on a terminal, else json."`
}

// logger builds the logger of a command. It samples nothing: a line that is
// dropped is the one somebody looks for. The worker thins floods of one kind of line
// by itself, and says so.
func (s logSettings) logger(w io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(s.LogLevel)
	if err != nil { // only in a test that sets no level
		level = zapcore.InfoLevel
	}
	config := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder, // base units, like the metrics
		EncodeName:     zapcore.FullNameEncoder,
	}
	encoder := zapcore.NewJSONEncoder(config)
	if s.LogFormat == "console" || (s.LogFormat != "json" && isTerminal(w)) {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeDuration = zapcore.StringDurationEncoder
		config.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))
}

// isTerminal reports whether a person is likely to read what is written to w.
func isTerminal(w io.Writer) bool {
	if p, shared := w.(*progress); shared {
		w = p.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
