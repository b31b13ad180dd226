package personal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const secret = "Canary-Person"

func TestNothingPrintsTheTrueValue(t *testing.T) {
	type row struct{ Name Text }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%10s", "%d", "%T %[1]v"} {
		for _, value := range []any{Text(secret), row{secret}, &row{secret}, []Text{secret}, map[string]Text{"k": secret}} {
			got := fmt.Sprintf(verb, value)
			if strings.Contains(got, secret) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s of %T shows the value: %s", verb, value, got)
			}
		}
	}
}

func TestLoggersPrintRedacted(t *testing.T) {
	var out bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&out), zap.DebugLevel)
	zap.New(core).Info("person", zap.Stringer("name", Text(secret)))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("person", "name", Text(secret))
	if strings.Contains(out.String(), secret) {
		t.Errorf("a log shows the value: %s", out.String())
	}
	if n := strings.Count(out.String(), Redacted); n != 2 {
		t.Errorf("%d of 2 lines say %s: %s", n, Redacted, out.String())
	}
}

func TestJSONCarriesTheTrueValue(t *testing.T) {
	b, err := json.Marshal(Text(secret))
	if err != nil {
		t.Fatal(err)
	}
	var back Text
	if err := json.Unmarshal(b, &back); err != nil || back.Reveal() != secret {
		t.Errorf("after a round trip: %q, %v", back.Reveal(), err)
	}
}

func TestMissingTextPrintsNothing(t *testing.T) {
	if got := Text("").String(); got != "" {
		t.Errorf("the empty text prints %q", got)
	}
}
