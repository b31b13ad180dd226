package main

import (
	"bytes"
	"fmt"
	"net"
	"net/url"

	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
)

// apiEnv names an environment of the API.
type apiEnv string

const (
	envLocal   apiEnv = apiclient.EnvLocal
	envCurrent apiEnv = apiclient.EnvCurrent
	envProd    apiEnv = apiclient.EnvProd
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *apiEnv) UnmarshalText(text []byte) error {
	switch env := apiEnv(text); env {
	case envLocal, envCurrent, envProd:
		*e = env
		return nil
	}
	return fmt.Errorf("%q is none of local, current, prod", text)
}

// apiSettings says who we are to the API and how we read it.
type apiSettings struct {
	APIEnv              apiEnv        `group:"api" name:"api-env" placeholder:"local|current|prod" help:"Environment of the API: current (test) or prod; local is rescreen simulator on its default port. Required by worker."`
	APIIssuer           string        `group:"api" name:"api-issuer" placeholder:"URL" help:"OpenID issuer, instead of the environment's."`
	APIBaseURL          string        `group:"api" name:"api-base-url" placeholder:"URL" help:"Where the API's calls go, instead of what the issuer's discovery says."`
	APITokenURL         string        `group:"api" name:"api-token-url" placeholder:"URL" help:"Where tokens are fetched, instead of what the issuer's discovery says."`
	APIClientID         string        `group:"api" name:"api-client-id" placeholder:"ID" help:"OAuth client. Required unless the environment is local."`
	APIClientSecret     personal.Text `group:"api" name:"api-client-secret" secret:"" placeholder:"TEXT" help:"Secret of the client. Required unless the environment is local."`
	APIClientSecretFile string        `group:"api" name:"api-client-secret-file" placeholder:"FILE" help:"File that holds the client's secret."`
	APIScopes           []string      `group:"api" name:"api-scopes" sep:" " default:"aml_person/basic aml_person/OFAC" placeholder:"SCOPES" help:"OAuth scopes to ask for, separated by spaces."`
	APIAuth             string        `group:"api" name:"api-auth" enum:"basic,post" default:"basic" placeholder:"basic|post" help:"How the client proves its identity: HTTP basic authentication or fields of the form."`
	APIProfile          string        `group:"api" name:"api-profile" placeholder:"FILE" help:"YAML file that changes how undocumented parts of the API are read."`
	AllowTestNumbers    bool          `group:"api" help:"Accept synthetic and aid numbers in prod, where they are refused otherwise."`
}

// client is the identity to present; that of the simulator by itself when the
// environment is local.
func (s apiSettings) client() (id string, secret personal.Text, err error) {
	secret, err = secretValue("--api-client-secret", s.APIClientSecret, s.APIClientSecretFile)
	if err != nil {
		return "", "", err
	}
	id = s.APIClientID
	if s.APIEnv == envLocal {
		if id == "" {
			id = amlsim.DefaultClientID
		}
		if secret == "" {
			secret = amlsim.DefaultClientSecret
		}
	}
	return id, secret, nil
}

// problems checks the settings; required says whether the command calls the
// API.
func (s apiSettings) problems(required bool) problems {
	var found problems
	if required && s.APIEnv == "" {
		found.addf("--api-env", "is required (RESCREEN_API_ENV): local for the simulator, current for the test environment, prod")
	}
	for _, u := range []struct{ flag, value string }{
		{"--api-issuer", s.APIIssuer}, {"--api-base-url", s.APIBaseURL}, {"--api-token-url", s.APITokenURL},
	} {
		checkAPIURL(&found, u.flag, u.value, s.APIEnv == envLocal)
	}
	id, secret, err := s.client()
	if err != nil {
		found.addf("--api-client-secret", "%v", err)
	}
	if required && s.APIEnv != "" {
		if id == "" {
			found.addf("--api-client-id", "is required (RESCREEN_API_CLIENT_ID) for --api-env %s", s.APIEnv)
		}
		if secret == "" && err == nil {
			found.addf("--api-client-secret", "is required (RESCREEN_API_CLIENT_SECRET or RESCREEN_API_CLIENT_SECRET_FILE) for --api-env %s", s.APIEnv)
		}
	}
	if len(s.APIScopes) == 0 {
		found.addf("--api-scopes", "must name at least one scope")
	}
	if _, err := s.profile(); err != nil {
		found.addf("--api-profile", "cannot be used: %v", err)
	}
	return found
}

// testNumbersAllowed reports whether synthetic and aid numbers may be screened:
// in prod they are a mistake, or somebody's test that would be billed.
func (s apiSettings) testNumbersAllowed() bool {
	return s.APIEnv != envProd || s.AllowTestNumbers
}

// profile is how we read the API; the zero value is apiclient's default.
func (s apiSettings) profile() (apiclient.Profile, error) {
	if s.APIProfile == "" {
		return apiclient.Profile{}, nil
	}
	data, err := readSmallFile(s.APIProfile, maxConfigBytes)
	if err != nil {
		return apiclient.Profile{}, err
	}
	p, err := apiclient.ReadProfile(bytes.NewReader(data))
	if err != nil {
		return apiclient.Profile{}, fmt.Errorf("%s: %w", s.APIProfile, err)
	}
	return p, nil
}

// clientConfig is what the client of the API is made from. The settings have
// passed their checks.
func (s apiSettings) clientConfig(l lifecycleSettings, log *zap.Logger) (apiclient.Config, error) {
	id, secret, err := s.client()
	if err != nil {
		return apiclient.Config{}, usageError(fmt.Errorf("--api-client-secret %w", err), "")
	}
	profile, err := s.profile()
	if err != nil {
		return apiclient.Config{}, usageError(fmt.Errorf("--api-profile cannot be used: %w", err), "")
	}
	return apiclient.Config{
		Env: string(s.APIEnv), Issuer: s.APIIssuer, BaseURL: s.APIBaseURL, TokenURL: s.APITokenURL,
		ClientID: id, ClientSecret: secret, AuthStyle: apiclient.AuthStyle(s.APIAuth), Scopes: s.APIScopes,
		Profile: profile, PostTimeout: l.PostTimeout, GetTimeout: l.GetTimeout,
		UserAgent: "rescreen/" + buildVersion().Version, Log: log,
	}, nil
}

// checkAPIURL accepts https everywhere, and http on this machine or to a
// simulator (which may run in the container next door): else token and
// personal data would cross the network in the clear.
func checkAPIURL(found *problems, flag, value string, simulated bool) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		found.addf(flag, "%s is not an address that begins with https://", redactURL(value))
	case u.User != nil:
		found.addf(flag, "must not hold credentials: use --api-client-id and --api-client-secret-file")
	case u.RawQuery != "" || u.Fragment != "":
		found.addf(flag, "%q must end before the ? or #", u.Scheme+"://"+u.Host+u.Path)
	case u.Scheme == "http" && !simulated && !loopback(u.Hostname()):
		found.addf(flag, "%q would send secrets and personal data in the clear: use https://", value)
	}
}

// loopback reports whether a host name or address means this machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
