package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// proxyFor is the proxy by which a host is reached, nil without one.
func proxyFor(host *url.URL) *url.URL {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: host})
	if err != nil {
		return nil
	}
	return proxy
}

// address is host and port of a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// reachHost finds the name, connects, and speaks TLS. Through a proxy only the way to
// that can be looked at.
func (a *apiDoctor) reachHost(ctx context.Context, host *url.URL) finding {
	target, via := host, ""
	if proxy := proxyFor(host); proxy != nil {
		target, via = proxy, " through the proxy "+proxy.Host
	}
	names, err := a.resolver.LookupHost(ctx, target.Hostname())
	if err != nil {
		return failure("Check the name, and the resolver of this machine: getent hosts "+target.Hostname()+". In Kubernetes the network policy has to let DNS out.",
			"%s%s: the name %s is not found: %s", host.Host, via, target.Hostname(), wayText(err))
	}
	conn, err := (&net.Dialer{Timeout: probeTime, Resolver: a.resolver}).DialContext(ctx, "tcp", address(target))
	if err != nil && a.settings.API.APIEnv == envLocal {
		return failure("Start the simulated API: rescreen simulator", "%s: nobody listens there: %s", host.Host, wayText(err))
	}
	if err != nil {
		return failure("Let this machine out to "+address(target)+": firewall, network policy, or HTTPS_PROXY if only a proxy may go out.",
			"%s%s: no connection to %s: %s", host.Host, via, names[0], wayText(err))
	}
	defer conn.Close()
	if via != "" {
		return fine("%s is reached%s", host.Host, via)
	}
	if host.Scheme == "https" {
		state, err := handshake(ctx, conn, host, a.roots)
		if err != nil && state == nil {
			return failure("Something between does not speak TLS, or cuts it off: a proxy or firewall that should know this host.", "%s: no TLS: %v", host.Host, err)
		}
	}
	return fine("%s answers", host.Host)
}

// wayText is the cause of an error of the network, without the addresses that
// stand beside it already.
func wayText(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

// handshake speaks TLS and returns the state, and the error of whoever would not go
// on because of the certificate.
func handshake(ctx context.Context, conn net.Conn, host *url.URL, roots *x509.CertPool) (*tls.ConnectionState, error) {
	// What the certificate is worth is looked at below; nothing is sent meanwhile.
	client := tls.Client(conn, &tls.Config{ServerName: host.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := client.ConnectionState()
	options := x509.VerifyOptions{DNSName: host.Hostname(), Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return &state, err
}

// hostCertificate looks at the certificate of a host: as seen in an answer, or
// by a handshake if there was none.
func (a *apiDoctor) hostCertificate(ctx context.Context, host *url.URL) finding {
	for _, seen := range a.recorder.all() {
		if seen.host == host.Host && seen.cert != nil {
			return a.judge(host, seen.cert, nil)
		}
	}
	if proxyFor(host) != nil {
		return notKnown("%s: nothing was answered through the proxy", host.Host)
	}
	conn, err := (&net.Dialer{Timeout: probeTime, Resolver: a.resolver}).DialContext(ctx, "tcp", address(host))
	if err != nil {
		return notKnown("%s: not reached, see api-reach", host.Host)
	}
	defer conn.Close()
	state, err := handshake(ctx, conn, host, a.roots)
	if state == nil {
		return notKnown("%s: no TLS, see api-reach", host.Host)
	}
	return a.judge(host, state.PeerCertificates[0], err)
}

// judge says what a certificate is worth, given the error of its verification.
func (a *apiDoctor) judge(host *url.URL, cert *x509.Certificate, err error) finding {
	until := cert.NotAfter.UTC().Format(time.DateOnly)
	left := cert.NotAfter.Sub(a.now())
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case left <= 0:
		return failure("Its owner has to renew it; check the clock of this machine, too (api-clock, nats-clock).", "the certificate of %s ended on %s", host.Host, until)
	case errors.As(err, &name):
		return failure("Check the address; or a proxy that answers in the place of the API.", "the certificate of %s is for another host", host.Host)
	case errors.As(err, &unknown):
		return failure("If a proxy of your own opens TLS, give this machine its certificate authority (SSL_CERT_FILE); if not, do not send anything there.",
			"the certificate of %s is of an authority that this machine does not trust: %s", host.Host, cert.Issuer.CommonName)
	case err != nil:
		return failure("Its owner has to put it right.", "the certificate of %s is not valid: %v", host.Host, err)
	case left < expiryWarning:
		return warning("Ask its owner whether it is being renewed; when it ends, no call goes through.", "the certificate of %s ends on %s", host.Host, until)
	}
	return fine("%s until %s, issued by %s", host.Host, until, cert.Issuer.CommonName)
}
