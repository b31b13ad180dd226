package amlsim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultAddr is where the simulator listens when nothing else is said.
	DefaultAddr = "127.0.0.1:8117"
	// RealmPath is the path of the issuer.
	RealmPath = "/auth/realms/local"
	// DefaultClientID and DefaultClientSecret are the credentials it accepts by default.
	DefaultClientID     = "rescreen"
	DefaultClientSecret = "simulator"

	// ScopeBasic allows sessions; ScopeOFAC adds the OFAC list to the search.
	ScopeBasic = "aml_person/basic"
	ScopeOFAC  = "aml_person/OFAC"

	// defaultTokenLife is the documented lifetime of an access token.
	defaultTokenLife = 300 * time.Second
	// defaultLifetime is the documented time for which a result can be fetched.
	defaultLifetime = 2 * time.Hour

	// Bounds within which a limit can be counted in nanoseconds.
	minRate, maxRate = 0.001, 1e9
	maxBurst         = 1_000_000
)

// Shape is how the session information nests its statuses.
type Shape string

// The documented names of the statuses leave three nestings open.
const (
	ShapeFlat   Shape = "flat"   // {"jsonData": "READY"}
	ShapeNested Shape = "nested" // {"jsonData": {"status": "READY", "href": …}}
	ShapeList   Shape = "list"   // {"results": [{"name": "jsonData", "status": "READY"}]}
	ShapeMixed  Shape = "mixed"  // one of the three, drawn for each session
)

// Links is how the session information points at documents and reports.
type Links string

// The documentation does not say whether links are relative. Flat answers never hold any.
const (
	LinksRelative Links = "relative" // to the address of the session information
	LinksPath     Links = "path"     // relative, from the root of the host
	LinksAbsolute Links = "absolute"
	LinksNone     Links = "none"
	LinksForeign  Links = "foreign" // absolute, on a host that is not the API's: not to be followed
)

// Mix is the share of people who get each kind of answer, as weights.
type Mix struct {
	Clear, Hit, Undetermined float64
}

// Fates is the share of sessions, 0 to 1, that meet each fate; see [Fate].
type Fates struct {
	Fail, Expire, Vanish, Never, ReportNever, ReportFail float64
}

// Config says how the simulator behaves. The zero value is a quick and
// friendly API without limits.
type Config struct {
	// Now tells the time; nil is time.Now.
	Now func() time.Time
	// Seed decides delays, fates and faults by probability; not the documents.
	Seed uint64

	// ReadyAfter is the time from creation to the document, ReportAfter from
	// the document to the report, Latency what every call takes.
	ReadyAfter, ReportAfter, Latency Delay
	// Lifetime is how long an entity can be fetched from when it became ready; 0 is 2 h.
	Lifetime time.Duration
	// Mix is what the invented people have; zero is 90 % clear, 6 % hit, 4 % undetermined.
	Mix Mix
	// Fates is how many sessions go wrong; zero is none.
	Fates Fates

	// CreateRate and RequestRate are calls per second, 0 without limit: of
	// session creations, and of all calls to the AML API (not to the token
	// endpoint). CreateBurst and RequestBurst are calls at once; 0 is 1.
	CreateRate   float64
	CreateBurst  int
	RequestRate  float64
	RequestBurst int
	// RetryAfterDate makes Retry-After of a 429 an HTTP date instead of seconds.
	RetryAfterDate bool

	// Shape and Links are the form of the session information; "" is nested and absolute.
	Shape Shape
	Links Links
	// Plain leaves out the members and values that no documentation knows and
	// that are otherwise sprinkled over the answers.
	Plain bool
	// NotReadyStatus answers a fetch that comes too early: 202, 404, 409 or 425; 0 is 409.
	NotReadyStatus int
	// GoneStatus answers a fetch that comes too late: 404 or 410; 0 is 404.
	GoneStatus int
	// Gzip compresses JSON answers for clients that accept it.
	Gzip bool

	// ClientID and ClientSecret are the accepted credentials; "" is the default.
	ClientID, ClientSecret string
	// TokenLife is the life of an access token; 0 is 300 s.
	TokenLife time.Duration
	// TokenType is what the token answer calls it; "" is "bearer" in lower
	// case, as the true provider did for years.
	TokenType string
	// Scopes are what the client may have; nil is ScopeBasic and ScopeOFAC.
	// Others are left out of the token, or refused if StrictScopes.
	Scopes       []string
	StrictScopes bool
	// NoRegistryAccess makes the caller one without access to the National
	// Registry: /access-rights says so and the registry's elements are null.
	NoRegistryAccess bool

	// PublicURL is scheme and host of all addresses given out; "" takes them from the request.
	PublicURL string
	// BasePath stands before the paths of the AML API, e.g. "/aml"; "" is none.
	BasePath string
	// Countries are the path segments that exist; nil is "no" alone.
	Countries []string

	// Faults is the script of what goes wrong; the first that matches a call acts.
	Faults []Fault
}

// withDefaults fills what was left zero.
func (c Config) withDefaults() Config {
	setDefault(&c.Lifetime, defaultLifetime)
	setDefault(&c.TokenLife, defaultTokenLife)
	setDefault(&c.TokenType, "bearer")
	setDefault(&c.ClientID, DefaultClientID)
	setDefault(&c.ClientSecret, DefaultClientSecret)
	setDefault(&c.Shape, ShapeNested)
	setDefault(&c.Links, LinksAbsolute)
	setDefault(&c.NotReadyStatus, http.StatusConflict)
	setDefault(&c.GoneStatus, http.StatusNotFound)
	setDefault(&c.CreateBurst, 1)
	setDefault(&c.RequestBurst, 1)
	setDefault(&c.Mix, Mix{Clear: 0.90, Hit: 0.06, Undetermined: 0.04})
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Scopes == nil {
		c.Scopes = []string{ScopeBasic, ScopeOFAC}
	}
	if c.Countries == nil {
		c.Countries = []string{"no"}
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what is wrong with the configuration. A simulator made from one
// that it refuses answers every call with 500.
func (c Config) Validate() error {
	c = c.withDefaults()
	return errors.Join(c.validateTimes(), c.validateShares(), c.validateLimits(), c.validateForms(), validateFaults(c.Faults))
}

func (c Config) validateTimes() error {
	for _, d := range []struct {
		name  string
		delay Delay
	}{{"ReadyAfter", c.ReadyAfter}, {"ReportAfter", c.ReportAfter}, {"Latency", c.Latency}} {
		if err := d.delay.Validate(); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if c.Lifetime < 0 || c.TokenLife < time.Second {
		return errors.New("negative Lifetime, or TokenLife below a second")
	}
	return nil
}

func (c Config) validateShares() error {
	m := c.Mix
	if !(m.Clear >= 0 && m.Hit >= 0 && m.Undetermined >= 0) {
		return errors.New("negative share in Mix")
	}
	f := c.Fates
	sum := 0.0
	for _, share := range []float64{f.Fail, f.Expire, f.Vanish, f.Never, f.ReportNever, f.ReportFail} {
		if !(share >= 0) {
			return errors.New("negative share in Fates")
		}
		sum += share
	}
	if sum > 1 {
		return errors.New("shares of Fates above 1 together")
	}
	return nil
}

func (c Config) validateLimits() error {
	for _, rate := range []float64{c.CreateRate, c.RequestRate} {
		if rate != 0 && !(rate >= minRate && rate <= maxRate) {
			return fmt.Errorf("rate outside %v to %v per second", minRate, maxRate)
		}
	}
	for _, burst := range []int{c.CreateBurst, c.RequestBurst} {
		if burst < 1 || burst > maxBurst {
			return fmt.Errorf("burst outside 1 to %d", maxBurst)
		}
	}
	return nil
}

func (c Config) validateForms() error {
	switch c.Shape {
	case ShapeFlat, ShapeNested, ShapeList, ShapeMixed:
	default:
		return fmt.Errorf("unknown Shape %q", c.Shape)
	}
	switch c.Links {
	case LinksRelative, LinksPath, LinksAbsolute, LinksNone, LinksForeign:
	default:
		return fmt.Errorf("unknown Links %q", c.Links)
	}
	switch c.NotReadyStatus {
	case http.StatusAccepted, http.StatusNotFound, http.StatusConflict, http.StatusTooEarly:
	default:
		return errors.New("not-ready status must be 202, 404, 409 or 425")
	}
	if c.GoneStatus != http.StatusNotFound && c.GoneStatus != http.StatusGone {
		return errors.New("gone status must be 404 or 410")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return errors.New("public URL must be http(s)://host")
		}
	}
	if c.BasePath != "" && (!strings.HasPrefix(c.BasePath, "/") || strings.HasSuffix(c.BasePath, "/")) {
		return errors.New("base path must start with a slash and not end with one")
	}
	if len(c.Countries) > maxCountries {
		return fmt.Errorf("more than %d Countries", maxCountries)
	}
	return nil
}
