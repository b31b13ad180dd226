package apiclient

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient/personal"
)

// AuthStyle is how the client proves itself to the token endpoint.
type AuthStyle string

// The two styles that every client of BankID's has.
const (
	AuthBasic AuthStyle = "basic" // client_secret_basic, the default
	AuthPost  AuthStyle = "post"  // client_secret_post
)

// The time a whole call may take, discovery, token and a renewal included.
const (
	// DefaultPostTimeout stays below the 20 s after which somebody else takes
	// a creation for lost.
	DefaultPostTimeout = 15 * time.Second
	DefaultGetTimeout  = 30 * time.Second
)

// Config says whom to speak to, as whom and how.
type Config struct {
	// Env is a name that Environment knows. It may be empty if Issuer, or
	// both BaseURL and TokenURL, are given. Plain http to another machine is
	// refused in every environment but local.
	Env string

	Issuer   string // "": of Env; its discovery document is read when needed
	BaseURL  string // "": from discovery (aml-baseurl), else Profile.BaseURLs[Env]
	TokenURL string // "": from discovery

	ClientID     string
	ClientSecret personal.Text
	AuthStyle    AuthStyle // "" means AuthBasic
	Scopes       []string  // nil means those of a person screening

	Profile Profile // the zero value means DefaultProfile

	PostTimeout time.Duration // 0 means DefaultPostTimeout
	GetTimeout  time.Duration // 0 means DefaultGetTimeout

	// Transport carries all calls; nil means one of the client's own. It must
	// honour the request's context, and call httptrace's GotConn before it
	// sends anything if it calls it at all, as net/http's does: that is how a
	// creation is known not to have been sent.
	Transport http.RoundTripper

	// OnQuota, if set, is told what the RateLimit headers of an answer say, and
	// whether the call was a creation.
	OnQuota func(creation bool, q Quota)

	// OnToken, if set, is told the end of every try to get a token; nil means
	// that there is one.
	OnToken func(error)

	// OnCall, if set, is told the end of every request, those for tokens and
	// addresses included. It must return at once, and is called concurrently.
	OnCall func(Call)

	UserAgent string // "" means "rescreen"
	Log       *zap.Logger
	Now       func() time.Time // nil means time.Now
}

// defaultScopes returns the scopes of a person screening.
func defaultScopes() []string { return []string{"aml_person/basic", "aml_person/OFAC"} }

// Client speaks to the API. It is safe for concurrent use.
type Client struct {
	profile     Profile
	plainHTTP   bool
	postTimeout time.Duration
	getTimeout  time.Duration
	userAgent   string
	log         *zap.Logger
	now         func() time.Time
	onQuota     func(creation bool, q Quota)
	onToken     func(error)
	onCall      func(Call)

	transport http.RoundTripper
	own       *http.Transport // nil if the transport is the caller's
	bodies    *bodies
	traces    atomic.Bool // the transport has been seen to call GotConn

	where  *locator
	tokens *tokenSource
}

// New returns a client. It makes no call: addresses and token are fetched when
// first needed, so that a worker starts during an outage.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{
		profile:     cfg.Profile,
		plainHTTP:   cfg.Env == EnvLocal,
		postTimeout: cfg.PostTimeout,
		getTimeout:  cfg.GetTimeout,
		userAgent:   cfg.UserAgent,
		log:         cfg.Log,
		now:         cfg.Now,
		onQuota:     cfg.OnQuota,
		onToken:     cfg.OnToken,
		onCall:      cfg.OnCall,
		transport:   cfg.Transport,
		bodies:      newBodies(),
	}
	if c.transport == nil {
		c.own = NewTransport(max(cfg.PostTimeout, cfg.GetTimeout/2))
		c.transport = c.own
	}
	if c.where, err = newLocator(c, cfg); err != nil {
		return nil, err
	}
	c.tokens = newTokenSource(c, cfg)
	return c, nil
}

// Close closes idle connections, if the transport is the client's own.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Profile.isZero() {
		cfg.Profile = DefaultProfile()
	}
	if cfg.Env != "" {
		known, err := Environment(cfg.Env)
		if err != nil {
			return cfg, fmt.Errorf("api client: %w", err)
		}
		if cfg.Issuer == "" {
			cfg.Issuer = known.Issuer
		}
	}
	if cfg.AuthStyle == "" {
		cfg.AuthStyle = AuthBasic
	}
	if cfg.Scopes == nil {
		cfg.Scopes = defaultScopes()
	}
	if cfg.PostTimeout == 0 {
		cfg.PostTimeout = DefaultPostTimeout
	}
	if cfg.GetTimeout == 0 {
		cfg.GetTimeout = DefaultGetTimeout
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "rescreen"
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.OnToken == nil {
		cfg.OnToken = func(error) {}
	}
	if cfg.OnCall == nil {
		cfg.OnCall = func(Call) {}
	}
	if cfg.OnQuota == nil {
		cfg.OnQuota = func(bool, Quota) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg, cfg.validate()
}

func (cfg Config) validate() error {
	var errs []error
	if cfg.ClientID == "" {
		errs = append(errs, errors.New("client id is missing"))
	}
	if cfg.ClientSecret == "" {
		errs = append(errs, errors.New("client secret is missing"))
	}
	if cfg.AuthStyle != AuthBasic && cfg.AuthStyle != AuthPost {
		errs = append(errs, fmt.Errorf("auth style %q: want %s or %s", cfg.AuthStyle, AuthBasic, AuthPost))
	}
	if cfg.PostTimeout < 0 || cfg.GetTimeout < 0 {
		errs = append(errs, errors.New("negative timeout"))
	}
	if strings.IndexFunc(cfg.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		errs = append(errs, errors.New("user agent holds characters that no header can carry"))
	}
	if cfg.Issuer == "" && (cfg.BaseURL == "" || cfg.TokenURL == "") {
		errs = append(errs, errors.New("neither environment nor issuer, and not both base URL and token URL"))
	}
	for name, s := range map[string]string{"issuer": cfg.Issuer, "base URL": cfg.BaseURL, "token URL": cfg.TokenURL} {
		if s == "" {
			continue
		}
		if _, err := parseEndpoint(s, cfg.Env == EnvLocal); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := cfg.Profile.Validate(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("api client: %w", errors.Join(errs...))
	}
	return nil
}

// target is where a request goes and whether our token goes with it.
type target struct {
	url   *url.URL
	token bool
}

// sessionTarget fills a path of the profile in.
func (c *Client) sessionTarget(e endpoints, ref Ref, path string) (target, error) {
	path = strings.NewReplacer(
		"{country}", url.PathEscape(country(ref.Country)),
		"{session}", url.PathEscape(string(ref.ID)),
	).Replace(path)
	u, err := url.Parse(e.base.String() + path)
	if err != nil || origin(u) != origin(e.base) {
		return target{}, errors.New("session path cannot be built")
	}
	return target{url: u, token: true}, nil
}
