package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"rescreen/apiclient"
)

// apiDoctor looks at the API and at the way to it.
type apiDoctor struct {
	*doctor
	client   *apiclient.Client
	recorder *recorder
	login    apiclient.Login
	err      error // of logging in
}

// The longest waits for the API: with the settings' own, nobody would wait for the end.
const (
	apiTime = 9 * time.Second
	// apiProbeTime bounds a check of the API, which may take the whole of such a wait.
	apiProbeTime = apiTime + time.Second
)

// examineAPI logs in and makes all checks of the API.
func (d *doctor) examineAPI(ctx context.Context) []finding {
	a := &apiDoctor{doctor: d}
	if !d.callsAPI() {
		return notTried(a.probes(), d.role.one()+" does not call the API")
	}
	if found := d.settings.API.problems(true); len(found) > 0 {
		return notTried(a.probes(), "the settings of the API are wrong, see configuration")
	}
	l := d.settings.Lifecycle
	l.PostTimeout, l.GetTimeout = min(l.PostTimeout, apiTime), min(l.GetTimeout, apiTime)
	if err := a.open(l); err != nil {
		return notTried(a.probes(), err.Error())
	}
	defer a.client.Close()
	a.login, a.err = a.client.LogIn(ctx)
	return look(ctx, apiProbeTime, a.probes())
}

func (a *apiDoctor) probes() []probe {
	return []probe{
		{"api-reach", a.reach},
		{"api-certificate", a.certificate},
		{"api-addresses", a.addresses},
		{"api-token", a.token},
		{"api-scopes", a.scopes},
		{"national-registry", a.registry},
		{"api-clock", a.clock},
	}
}

// open makes the client that a worker would make, with a recorder in it.
func (a *apiDoctor) open(l lifecycleSettings) error {
	config, err := a.settings.API.clientConfig(l, a.log)
	if err != nil {
		return err
	}
	transport := apiclient.NewTransport(l.GetTimeout)
	transport.TLSClientConfig.RootCAs = a.roots
	a.recorder = &recorder{next: transport, now: a.now}
	config.Transport = a.recorder
	a.client, err = apiclient.New(config)
	return err
}

// hosts are those that a worker speaks to, as addresses.
func (a *apiDoctor) hosts() []*url.URL {
	var hosts []*url.URL
	issuer := a.settings.API.APIIssuer
	if known, err := apiclient.Environment(string(a.settings.API.APIEnv)); issuer == "" && err == nil {
		issuer = known.Issuer
	}
	base := a.login.Base
	if base == "" {
		base = a.settings.API.APIBaseURL
	}
	for _, address := range []string{issuer, a.settings.API.APITokenURL, a.login.TokenURL, base} {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || slices.ContainsFunc(hosts, func(h *url.URL) bool { return h.Scheme == u.Scheme && h.Host == u.Host }) {
			continue
		}
		hosts = append(hosts, u)
	}
	return hosts
}

// reach makes its way to each host step by step, to say which step fails.
func (a *apiDoctor) reach(ctx context.Context) finding {
	hosts := a.hosts()
	found := make([]finding, len(hosts))
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() { found[i] = a.reachHost(ctx, host) })
	}
	all.Wait()
	var names []string
	for _, f := range found {
		names = append(names, f.Found)
	}
	return together(found, fine("%s", strings.Join(names, "; ")))
}

// expiryWarning is how long before its end a certificate should have been renewed:
// those of 90 days are renewed after 60.
const expiryWarning = 14 * 24 * time.Hour

// certificate looks when the certificates of the API's hosts end.
func (a *apiDoctor) certificate(ctx context.Context) finding {
	var found []finding
	var texts []string
	for _, host := range a.hosts() {
		if host.Scheme != "https" {
			texts = append(texts, host.Host+" speaks plain http")
			continue
		}
		f := a.hostCertificate(ctx, host)
		found = append(found, f)
		texts = append(texts, f.Found)
	}
	return together(found, fine("%s", strings.Join(texts, "; ")))
}

// addresses says where the API is, and how we know.
func (a *apiDoctor) addresses(context.Context) finding {
	switch a.login.BaseFrom {
	case apiclient.BaseFromSetting:
		return fine("the API is at %s, by --api-base-url", a.login.Base)
	case apiclient.BaseFromDiscovery:
		return fine("the API is at %s, says the issuer's discovery document", a.login.Base)
	case apiclient.BaseFromProfile:
		return warning("Ask BankID where the API is, and say so with --api-base-url.", "the discovery document does not say where the API is; %s is assumed", a.login.Base)
	}
	if kind, _ := apiclient.KindOf(a.err); kind == apiclient.Unavailable {
		return failure("See api-reach; if the way is free, the issuer itself is down: bankid-services.statuspage.io tells of outages. Jobs wait meanwhile.", "%s", apiText(a.err))
	}
	return failure("Check --api-env and --api-issuer: the address followed by /.well-known/openid-configuration has to answer with the discovery document. Or name both --api-base-url and --api-token-url.", "%s", apiText(a.err))
}

// token says whether there are tokens.
func (a *apiDoctor) token(context.Context) finding {
	if a.err == nil {
		if a.login.Life == 0 {
			return fine("obtained; how long it lives is not said")
		}
		return fine("obtained, lives %s", durationText(a.login.Life.Round(time.Second)))
	}
	if a.login.TokenURL == "" {
		return notKnown("not tried: see api-addresses")
	}
	switch kind, _ := apiclient.KindOf(a.err); kind {
	case apiclient.Denied:
		if strings.Contains(a.err.Error(), "invalid_scope") {
			return failure("Ask for what the client may have: --api-scopes; or have BankID grant what is missing.", "%s", apiText(a.err))
		}
		return failure("Check --api-client-id and --api-client-secret-file, and that both are of this environment ("+string(a.settings.API.APIEnv)+"); --api-auth post, if the client may only log in that way.", "%s", apiText(a.err))
	case apiclient.Throttled:
		return failure("Wait, and find out who logs in so often: a worker needs one token in five minutes.", "%s", apiText(a.err))
	case apiclient.Misconfigured:
		return failure("Check --api-token-url, or leave it to the discovery document.", "%s", apiText(a.err))
	}
	return failure("See api-reach; if the way is free, the token endpoint itself is down: bankid-services.statuspage.io tells of outages. Jobs wait meanwhile.", "%s", apiText(a.err))
}

// scopeFor says what a scope is for.
func scopeFor(scope string) string {
	switch scope {
	case "aml_person/basic":
		return scope + " (without it the API answers nothing)"
	case "aml_person/OFAC":
		return scope + " (without it the OFAC sanctions list is not searched, and a result looks complete)"
	}
	return scope
}

// scopes compares what was granted with what was asked for.
func (a *apiDoctor) scopes(context.Context) finding {
	if a.err != nil {
		return notKnown("not tried: there is no token")
	}
	if missing := a.login.Missing(); len(missing) > 0 {
		for i, scope := range missing {
			missing[i] = scopeFor(scope)
		}
		return failure("Have BankID grant them to the client, or ask for less with --api-scopes.", "asked for and not granted: %s", strings.Join(missing, ", "))
	}
	if a.login.Granted == nil {
		return fine("as asked for, by the answer's silence: %s", strings.Join(a.login.Asked, " "))
	}
	return fine("granted: %s", strings.Join(a.login.Asked, " "))
}

// registry asks for the access to the National Registry.
func (a *apiDoctor) registry(ctx context.Context) finding {
	if a.err != nil {
		return notKnown("not tried: there is no token")
	}
	_, granted, err := a.client.AccessRights(ctx)
	kind, _ := apiclient.KindOf(err)
	switch {
	case kind == apiclient.Misconfigured:
		return notKnown("the API does not know the path that is assumed (access_rights of --api-profile); what a session tells, --live shows: %s", apiText(err))
	case kind == apiclient.Denied:
		return failure("See api-scopes; and ask BankID whether the client is provisioned for the AML API.", "the token is refused: %s", apiText(err))
	case errors.Is(err, context.Canceled):
		return notKnown("not tried: interrupted")
	case kind == apiclient.Throttled:
		return warning("Too many calls are made with this client: rescreen limits show tells what the fleet's limits let out, and --request-rate holds it back. Jobs wait meanwhile.", "the API lets no call in: %s", apiText(err))
	case kind == apiclient.Unavailable:
		return failure("See api-reach; if the way is free, the API itself is down: bankid-services.statuspage.io tells of outages. Jobs wait meanwhile.", "%s", downText(err))
	case err != nil:
		return notKnown("%s", apiText(err))
	case granted == nil:
		return notKnown("the answer has another form than is assumed (access_rights of --api-profile)")
	case !*granted:
		return warning("Apply for it (form RF-1514 in Altinn) and delegate it to BankID's supplier. Until then results lack birthplace, citizenship and registered addresses.",
			"no access: the API answers, without what comes from the National Registry")
	}
	return fine("access granted")
}

// downText says how an API that is down shows it.
func downText(err error) string {
	var e *apiclient.Error
	if errors.As(err, &e) && e.Status != 0 {
		return fmt.Sprintf("the API answers with status %d", e.Status)
	}
	return "the API does not answer: " + apiText(err)
}

// apiText is the text of an error without the id of the request, which is new each time.
func apiText(err error) string {
	var e *apiclient.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := e.Kind.String()
	if e.Status != 0 {
		text += fmt.Sprintf(", status %d", e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}
