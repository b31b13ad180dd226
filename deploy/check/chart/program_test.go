package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program, built once from the tree that the chart is a part of.
var binary string

func TestMain(m *testing.M) {
	code, err := withProgram(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withProgram(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "rescreen-check-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "rescreen")
	build := exec.Command("go", "build", "-o", binary, "./cmd/rescreen")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build ./cmd/rescreen: %w\n%s", err, out)
	}
	return run(), nil
}

type outcome struct {
	code           int
	stdout, stderr string
}

// program runs rescreen with nothing in its environment but env.
func program(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	return programFor(t.Context(), t, env, args...)
}

func programFor(ctx context.Context, t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	cmd.Dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
