package apiclient

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"rescreen/apiclient/nationalid"
)

// The environments. [EnvLocal] is the project's own simulator on its default
// port.
const (
	EnvCurrent = "current" // BankID's test environment
	EnvProd    = "prod"
	EnvLocal   = "local"
)

// Endpoints are the addresses of an environment. Issuer is documented;
// BaseURL is the default profile's; TokenURL is what the issuer's discovery
// document is expected to say.
type Endpoints struct {
	Issuer   string
	BaseURL  string
	TokenURL string
}

// Environment returns the addresses of a named environment.
func Environment(name string) (Endpoints, error) {
	issuers := map[string]string{
		EnvCurrent: "https://auth.current.bankid.no/auth/realms/current",
		EnvProd:    "https://auth.bankid.no/auth/realms/prod",
		EnvLocal:   "http://127.0.0.1:8117/auth/realms/local",
	}
	issuer, ok := issuers[name]
	if !ok {
		return Endpoints{}, fmt.Errorf("unknown environment %q: want %s, %s or %s", name, EnvLocal, EnvCurrent, EnvProd)
	}
	return Endpoints{
		Issuer:   issuer,
		BaseURL:  DefaultProfile().BaseURLs[name],
		TokenURL: issuer + "/protocol/openid-connect/token",
	}, nil
}

// parseEndpoint parses an address that gets our secret, our token or personal
// data. It must be https; plain http passes only to this machine, or if
// plainHTTP says so (the local environment, whose simulator may run in the
// container next door). A trailing slash is cut.
func parseEndpoint(s string, plainHTTP bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		// The parser's error repeats its input, which may hold a password.
		return nil, errors.New("not an absolute URL")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("URL of host %q: user, query and fragment are not allowed", shownHost(u))
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (plainHTTP || isLoopback(u.Hostname())):
	default:
		return nil, fmt.Errorf("URL of host %q: scheme must be https", shownHost(u))
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// shownHost is a host that may come from an answer, as shownOrigin shows it.
func shownHost(u *url.URL) string { return bounded(nationalid.Mask(u.Host), 120) }

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origin returns scheme, host and port of u in one comparable form.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
