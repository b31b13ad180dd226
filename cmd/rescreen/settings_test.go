package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
)

// Every relation between settings has a line here, in the user's names.
func TestWorkerSettings(t *testing.T) {
	ok := []string{"--api-env=local"}
	for _, c := range []struct {
		args []string
		want string // one problem, or none
	}{
		{nil, ""},
		{[]string{"--slots=0"}, "--slots 0 must be at least 3"},
		{[]string{"--post-timeout=20s"}, "--post-timeout 20s must be below the 20s after which a creation counts as unknown"},
		{[]string{"--post-timeout=19.9s"}, ""},
		{[]string{"--post-timeout=0s"}, "--post-timeout 0s must be above zero"},
		{[]string{"--get-timeout=-1s"}, "--get-timeout -1s must be above zero"},
		{[]string{"--poll-factor=0.9"}, "--poll-factor 0.9 must be at least 1"},
		{[]string{"--poll-factor=NaN"}, "--poll-factor NaN must be at least 1"},
		{[]string{"--poll-factor=1"}, ""},
		{[]string{"--poll-factor=1000"}, "--poll-factor 1000 must be at most 100"},
		{[]string{"--poll-first=61s"}, "--poll-first 1m1s must not be above --poll-max, which is 1m"},
		{[]string{"--poll-max=3h", "--result-lifetime=3h"}, "--poll-max 3h must be below --result-lifetime, which is 3h: a result would expire between two polls"},
		{[]string{"--session-deadline=2s"}, "--session-deadline 2s must be above --poll-first, which is 2s"},
		{[]string{"--create-burst=0"}, "--create-burst 0 must be at least 1"},
		{[]string{"--request-burst=-1"}, "--request-burst -1 must be at least 1"},
		{[]string{"--max-open=0"}, "--max-open 0 must be at least 1"},
		{[]string{"--create-rate=21/s"}, "--create-rate 21/s can never be reached: each creation is a call too, and --request-rate allows 20/s"},
		{[]string{"--create-rate=1200/m"}, ""},
		{[]string{"--embedded-listen=8118"}, `--embedded-listen "8118" is not a place to listen: write host:port, like 127.0.0.1:8118`},
		{[]string{"--embedded-listen=x"}, `--embedded-listen "x" is not a place to listen: write host:port, like 127.0.0.1:8118`},
		{[]string{"--embedded-listen=:4222"}, `--embedded-listen ":4222" is not an address of this machine alone: the embedded server has no TLS, run a nats-server for other machines`},
		{[]string{"--embedded-listen=localhost:0"}, ""},
		{[]string{"--pprof-addr=127.0.0.1:0"}, ""},
		{[]string{"--pprof-addr=[::1]:6060"}, ""},
		{[]string{"--pprof-addr=6060"}, `--pprof-addr "6060" is not a place to listen: write host:port, like 127.0.0.1:8118`},
		{[]string{"--pprof-addr=:6060"}, `--pprof-addr ":6060" is not an address of this machine alone: profiles tell everybody what goes on in the process, use 127.0.0.1:6060`},
		{[]string{"--pprof-addr=10.0.0.1:6060"}, `--pprof-addr "10.0.0.1:6060" is not an address of this machine alone: profiles tell everybody what goes on in the process, use 127.0.0.1:6060`},
		{[]string{"--batch-metrics"}, "--batch-metrics needs --http-addr: there is no /metrics without it"},
		{[]string{"--batch-metrics", "--http-addr=127.0.0.1:0"}, ""},
		{[]string{"--embedded", "--server=nats://h"}, "--embedded starts a NATS server in this process, and --server names another: give one of them"},
		{[]string{"--api-base-url=http://simulator:8117"}, ""},
		{[]string{"--api-env=prod", "--api-client-id=i", "--api-client-secret=s", "--api-base-url=http://aml.example"}, `--api-base-url "http://aml.example" would send secrets and personal data in the clear: use https://`},
		{[]string{"--api-base-url=http://127.0.0.1:1"}, ""},
		{[]string{"--api-base-url=http://localhost:1/x"}, ""},
		{[]string{"--api-base-url=https://aml.example"}, ""},
		{[]string{"--api-issuer=ftp://aml.example"}, "--api-issuer ftp://aml.example is not an address that begins with https://"},
		{[]string{"--api-issuer=aml.example"}, "--api-issuer aml.example is not an address that begins with https://"},
		{[]string{"--api-token-url=https://id:pw@aml.example"}, "--api-token-url must not hold credentials: use --api-client-id and --api-client-secret-file"},
		{[]string{"--api-token-url=https://aml.example/?a=b"}, `--api-token-url "https://aml.example/" must end before the ? or #`},
		{[]string{"--api-profile=none.yaml"}, "--api-profile cannot be used: open none.yaml: no such file or directory"},
		{[]string{"--api-scopes="}, "--api-scopes must name at least one scope"},
		{[]string{"--data-dir="}, "--data-dir must not be empty"},
		{[]string{"--simulator-create-burst=0"}, "--simulator-create-burst 0 must be at least 1"},
	} {
		args := append(append([]string{"config", "check"}, ok...), c.args...)
		_, _, err := runIn(t, nil, args...)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v: %v", c.args, err)
		case c.want != "" && (err == nil || err.Error() != c.want || exitCode(err) != exitUsage):
			t.Errorf("%v: code %d, %v; want %s", c.args, exitCode(err), err, c.want)
		}
	}
}

func TestNATSSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const server = "nats://h"
	for _, c := range []struct {
		name string
		s    natsSettings
		want []string
	}{
		{"nothing", natsSettings{}, nil},
		{"server", natsSettings{Server: "h:4222, tls://i"}, nil},
		{"server with token", natsSettings{Server: "nats://t0ken@h"}, nil},
		{"no server", natsSettings{Server: "nats://"}, []string{"--server nats:// is not the address of a server: nats://host:4222"}},
		{"broken server", natsSettings{Server: "nats://a:s3cret@h:x"}, []string{"--server nats://[redacted]@h:x is not the address of a server: nats://host:4222"}},
		{"user", natsSettings{Server: server, User: "u", Password: "p"}, nil},
		{"user by file", natsSettings{Server: server, User: "u", PasswordFile: file}, nil},
		{"user alone", natsSettings{Server: server, User: "u"}, []string{"--user and --password belong together: give both or neither (a token goes into the URL: nats://TOKEN@host:4222)"}},
		{"password alone", natsSettings{Server: server, Password: "p"}, []string{"--user and --password belong together: give both or neither (a token goes into the URL: nats://TOKEN@host:4222)"}},
		{"password twice", natsSettings{Server: server, User: "u", Password: "p", PasswordFile: file}, []string{"--password is given twice, by itself and by --password-file: give one of them"}},
		{"creds without server", natsSettings{Creds: file}, []string{"--creds needs --server (NATS_URL): the embedded server has credentials of its own"}},
		{"two users", natsSettings{Server: server, Creds: file, Nkey: file}, []string{"--creds and --nkey both say who we are: give one of them"}},
		{"user and URL", natsSettings{Server: "nats://a:b@h", Nkey: file}, []string{"--server holds credentials, and so does --nkey: give one of them"}},
		{"context and server", natsSettings{Context: "c", Server: server}, []string{"--context brings server and credentials of its own: give either --context or --server, not both"}},
		{"context and CA", natsSettings{Context: "c", TLSCA: file}, []string{"--context brings server and credentials of its own: give either --context or --tlsca, not both"}},
		{"certificate alone", natsSettings{Server: server, TLSCert: file}, []string{"--tlscert and --tlskey belong together: give both or neither"}},
		{"missing file", natsSettings{Server: server, TLSCA: "none"}, []string{"--tlsca cannot be read: open none: no such file or directory"}},
		{"inbox", natsSettings{InboxPrefix: "_INBOX_a.b"}, nil},
		{"inbox with wildcard", natsSettings{InboxPrefix: "_INBOX.>"}, []string{`--inbox-prefix "_INBOX.>" cannot begin a subject`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.DataDir = "d"
			var got []string
			for _, p := range c.s.problems() {
				got = append(got, p.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRedactURLs(t *testing.T) {
	for in, want := range map[string]string{
		"nats://h:4222":               "nats://h:4222",
		"h":                           "h",
		"nats://u:p@h":                "nats://[redacted]@h",
		"u:p@h":                       "[redacted]@h",
		"nats://token@h, tls://a:b@i": "nats://[redacted]@h,tls://[redacted]@i",
		"nats://u:p@ss@h":             "nats://[redacted]@h",
		"u:p://x@h":                   "[redacted]@h",
		"":                            "",
	} {
		if got := redactURLs(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestSecretValue(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		name   string
		direct personal.Text
		file   string
		want   string
		failed bool
	}{
		{"none", "", "", "", false},
		{"direct", "a b ", "", "a b ", false},
		{"file", "", write("plain", "s3cret"), "s3cret", false},
		{"newline trimmed", "", write("newline", "s3cret\r\n"), "s3cret", false},
		{"blanks kept", "", write("blanks", " s3cret \n"), " s3cret ", false},
		{"both", "a", write("both", "b"), "", true},
		{"empty file", "", write("empty", "\n"), "", true},
		{"no file", "", filepath.Join(dir, "none"), "", true},
		{"too large", "", write("large", strings.Repeat("x", maxSecretBytes+1)), "", true},
	} {
		got, err := secretValue("--x", c.direct, c.file)
		if got.Reveal() != c.want || (err != nil) != c.failed {
			t.Errorf("%s: %q, %v", c.name, got.Reveal(), err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the secret", c.name)
		}
	}
}

func TestLocalEnvironmentKnowsItsClient(t *testing.T) {
	id, secret, err := apiSettings{APIEnv: envLocal}.client()
	if err != nil || id != amlsim.DefaultClientID || secret.Reveal() != amlsim.DefaultClientSecret {
		t.Errorf("%q, %q, %v", id, secret.Reveal(), err)
	}
	id, secret, err = apiSettings{APIEnv: envLocal, APIClientID: "a", APIClientSecret: "b"}.client()
	if err != nil || id != "a" || secret.Reveal() != "b" {
		t.Errorf("%q, %q, %v", id, secret.Reveal(), err)
	}
	if id, secret, _ := (apiSettings{APIEnv: envCurrent}).client(); id != "" || secret != "" {
		t.Errorf("another environment gets %q, %q", id, secret.Reveal())
	}
}

// What the flags say reaches the client, and the client accepts it.
func TestClientConfig(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(profile, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := apiSettings{APIEnv: envLocal, APIAuth: "post", APIScopes: []string{"a"}, APIProfile: profile}
	config, err := s.clientConfig(lifecycleSettings{PostTimeout: 3, GetTimeout: 4}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if config.Env != "local" || config.ClientID != amlsim.DefaultClientID || config.AuthStyle != apiclient.AuthPost || config.PostTimeout != 3 || config.GetTimeout != 4 {
		t.Errorf("%+v", config)
	}
	if !strings.HasPrefix(config.UserAgent, "rescreen/") {
		t.Errorf("user agent %q", config.UserAgent)
	}
	if _, err := apiclient.New(config); err != nil {
		t.Errorf("the client refuses it: %v", err)
	}
}

// The environment local and the simulator are made for each other.
func TestLocalEnvironmentIsTheSimulators(t *testing.T) {
	e, err := apiclient.Environment(string(envLocal))
	if want := "http://" + amlsim.DefaultAddr + amlsim.RealmPath; err != nil || e.Issuer != want {
		t.Errorf("issuer %q, %v; the simulator's is %q", e.Issuer, err, want)
	}
	for _, s := range knownSettings(t) {
		if s.key == "simulator-listen" && s.flag.Default != amlsim.DefaultAddr {
			t.Errorf("the simulator listens on %s, want %s", s.flag.Default, amlsim.DefaultAddr)
		}
	}
}

// No secret given in any way is printed in any way.
func TestSecretsAreNotPrinted(t *testing.T) {
	const canary = "c4nary"
	var environ []string
	for _, s := range knownSettings(t) {
		if s.secret {
			environ = append(environ, s.env+"="+canary)
		}
	}
	if len(environ) < 2 {
		t.Fatalf("only %d secrets found", len(environ))
	}
	environ = append(environ, "NATS_URL=nats://"+canary+"@h,nats://u:"+canary+"@h")
	for _, args := range [][]string{
		{"config", "print"}, {"config", "print", "-o", "json"}, {"config", "check"}, {"setup", "--user", "u"}, {"config", "check", "--server", canary + "@:x"},
	} {
		stdout, stderr, err := runIn(t, environ, args...)
		var printed strings.Builder
		printError(&printed, err)
		if all := stdout + stderr + printed.String(); strings.Contains(all, canary) {
			t.Errorf("%v shows a secret:\n%s", args, all)
		}
	}
}

func TestServerVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"2.14.5": true, "2.14.10": true, "2.15.0": true, "3.0.0": true, "v2.14.5": true, "2.14.5+abc": true, "2.14.6-RC.1": true,
		"2.15.0-dev": true, "2.14.4": false, "2.14.5-RC.1": false, "2.12.15": false, "1.99.99": false, "": false, "2.14": false, "2.x.1": false,
	} {
		if err := checkServerVersion(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		} else if err != nil && (!strings.Contains(err.Error(), serverFloor) || exitCode(err) != exitFailed) {
			t.Errorf("%q: code %d, %v", version, exitCode(err), err)
		}
	}
}
