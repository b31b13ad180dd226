package apiclient

import (
	"reflect"
	"strings"
)

// Profile holds every reading of the API that its public documentation leaves
// open, so that the first day with real credentials is an edit of a file. Each
// field is marked "documented" or "assumed" in its tag; see [Profile.Assumed].
type Profile struct {
	// BaseURLs are the API's addresses by environment, used if neither a
	// setting nor discovery names one.
	BaseURLs map[string]string `yaml:"base_urls" mark:"assumed"`
	// Countries are the path segments of the session call that we may use.
	Countries []string      `yaml:"countries" mark:"assumed"`
	Paths     Paths         `yaml:"paths"`
	Create    CreateFields  `yaml:"create"`
	Statuses  Statuses      `yaml:"statuses"`
	Session   SessionFields `yaml:"session"`
	Links     LinkRules     `yaml:"links"`
	Document  Fields        `yaml:"document"`
	Access    AccessFields  `yaml:"access_rights"`
}

// Paths are appended to the base URL; {country} and {session} are filled in,
// escaped.
type Paths struct {
	Create       string `yaml:"create" mark:"documented"`
	Session      string `yaml:"session" mark:"assumed"`
	Document     string `yaml:"document" mark:"assumed"` // if the session gives no link
	Report       string `yaml:"report" mark:"assumed"`   // if the session gives no link
	AccessRights string `yaml:"access_rights" mark:"assumed"`
}

// CreateFields name the members of the create body. A dot makes a nested
// object ("person.firstName"); a member with an empty name is not sent.
type CreateFields struct {
	FirstName   string `yaml:"first_name" mark:"documented"`
	LastName    string `yaml:"last_name" mark:"documented"`
	DateOfBirth string `yaml:"date_of_birth" mark:"documented"`
	SSN         string `yaml:"ssn" mark:"documented"`
	SSNCountry  string `yaml:"ssn_country" mark:"documented"`
	Language    string `yaml:"language" mark:"assumed"`
	Expands     string `yaml:"expands" mark:"assumed"`

	DateLayout    string `yaml:"date_layout" mark:"assumed"`     // Go's layout of the date of birth
	ReportExpand  string `yaml:"report_expand" mark:"assumed"`   // what orders the PDF
	ExpandsAsText bool   `yaml:"expands_as_text" mark:"assumed"` // one text with commas instead of a list

	SessionID string `yaml:"session_id" mark:"documented"` // member of the answer
}

// Statuses say what HTTP statuses mean. 401, 403 and 429 mean what they mean
// everywhere and cannot be changed.
type Statuses struct {
	// NotCreated: answers to a creation which prove that nothing was created.
	// Any other answer but a readable 2xx leaves the outcome unknown. 408 is
	// not among them (a gateway may say it after having passed the request
	// on), nor 302 and 303 (the usual answers to a form that was accepted).
	NotCreated []int `yaml:"not_created" mark:"assumed"`
	// Busy: statuses that mean "throttled, nothing created" if they come with
	// Retry-After, and an outage if not.
	Busy []int `yaml:"busy" mark:"assumed"`
	// Refused: the query is at fault. On a creation it counts only if the
	// status is in NotCreated too.
	Refused  []int `yaml:"refused" mark:"assumed"`
	NotReady []int `yaml:"not_ready" mark:"assumed"`
	Gone     []int `yaml:"gone" mark:"assumed"`
}

// SessionFields say how session information is read.
type SessionFields struct {
	Document string `yaml:"document" mark:"assumed"` // name of the JSON entity
	Report   string `yaml:"report" mark:"assumed"`   // name of the PDF entity
	Status   string `yaml:"status" mark:"assumed"`   // member: status of the whole session

	Lists      []string `yaml:"lists" mark:"assumed"`       // members: list (or object) of entities
	NameKeys   []string `yaml:"name_keys" mark:"assumed"`   // members: name of an entity in a list
	StatusKeys []string `yaml:"status_keys" mark:"assumed"` // members: status of an entity
	LinkKeys   []string `yaml:"link_keys" mark:"assumed"`   // members: where to fetch an entity

	Ready  []string `yaml:"ready" mark:"documented"` // literals, any case
	Failed []string `yaml:"failed" mark:"assumed"`   // parts of literals, any case
}

// LinkRules say which links we follow besides those of the API's own origin.
type LinkRules struct {
	AllowedOrigins []AllowedOrigin `yaml:"allowed_origins" mark:"assumed"`
}

// AllowedOrigin is a foreign origin that reports may be fetched from. It does
// not get our token unless SendToken says so: a store behind presigned links
// needs none, and must not learn it.
type AllowedOrigin struct {
	Origin    string `yaml:"origin"` // https://host[:port]
	SendToken bool   `yaml:"send_token"`
}

// Fields name the members of the result document that the view reads.
type Fields struct {
	AML             string   `yaml:"aml" mark:"documented"`
	Status          string   `yaml:"status" mark:"assumed"`
	StatusMessage   string   `yaml:"status_message" mark:"assumed"`
	PEPResults      string   `yaml:"pep_results" mark:"assumed"`
	SanctionResults string   `yaml:"sanction_results" mark:"assumed"`
	Lists           string   `yaml:"lists" mark:"assumed"`       // lists searched
	NoHits          []string `yaml:"no_hits" mark:"assumed"`     // literals of Status: nothing found
	Hits            []string `yaml:"hits" mark:"assumed"`        // literals of Status: something found
	ErrorKeys       []string `yaml:"error_keys" mark:"assumed"`  // members that tell of a part that failed
	ErrorWords      []string `yaml:"error_words" mark:"assumed"` // parts of StatusMessage that tell the same
}

// AccessFields say how the access-rights answer is read.
type AccessFields struct {
	Granted string `yaml:"granted" mark:"assumed"` // dotted path of a boolean
}

// DefaultProfile returns the readings the client ships with.
func DefaultProfile() Profile {
	return Profile{
		BaseURLs: map[string]string{
			EnvCurrent: "https://aml-current.bankidapis.no",
			EnvProd:    "https://aml.bankidapis.no",
			EnvLocal:   "http://127.0.0.1:8117",
		},
		Countries: []string{"no"},
		Paths: Paths{
			Create:       "/person/session/{country}",
			Session:      "/person/session/{country}/{session}",
			Document:     "/person/session/{country}/{session}/json",
			Report:       "/person/session/{country}/{session}/report/aml",
			AccessRights: "/access-rights",
		},
		Create: CreateFields{
			FirstName: "firstName", LastName: "lastName", DateOfBirth: "dateOfBirth",
			SSN: "ssn", SSNCountry: "country", Language: "language", Expands: "expands",
			DateLayout: "2006-01-02", ReportExpand: "links.reports.aml", SessionID: "sessionId",
		},
		Statuses: Statuses{
			NotCreated: []int{
				301, 307, 308,
				400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417,
				421, 422, 423, 424, 425, 426, 428, 429, 431, 451,
			},
			Busy:     []int{503},
			Refused:  []int{400, 409, 413, 422},
			NotReady: []int{202, 409, 425},
			Gone:     []int{404, 410},
		},
		Session: SessionFields{
			Document: "jsonData", Report: "aml-report", Status: "status",
			Lists: []string{"results"}, NameKeys: []string{"name"},
			StatusKeys: []string{"status"}, LinkKeys: []string{"href", "link", "url"},
			Ready: []string{"READY"}, Failed: []string{"fail", "error", "cancel", "expire"},
		},
		Document: Fields{
			AML: "aml", Status: "status", StatusMessage: "statusMessage",
			PEPResults: "pepResults", SanctionResults: "sanctionResults", Lists: "list",
			NoHits: []string{"NONE"}, Hits: []string{"PEP", "SANCTION", "PEP_AND_SANCTION"},
			ErrorKeys:  []string{"error", "errors"},
			ErrorWords: []string{"fail", "error", "unavailable", "timeout", "timed out", "partial", "incomplete"},
		},
		Access: AccessFields{Granted: "nationalRegistry.access"},
	}
}

// isZero reports whether nothing of p was set, which stands for the default.
func (p Profile) isZero() bool { return reflect.ValueOf(p).IsZero() }

// Assumed returns the YAML paths of all fields that rest on an assumption
// ("session.link_keys"), in the order of declaration: what a first session
// with real credentials has to confirm.
func (p Profile) Assumed() []string {
	return fieldPaths(reflect.TypeOf(p), "", "assumed")
}

// fieldPaths lists the leaves of a struct type that carry the mark.
func fieldPaths(t reflect.Type, prefix, mark string) []string {
	var paths []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Type.Kind() == reflect.Struct {
			paths = append(paths, fieldPaths(f.Type, prefix+name+".", mark)...)
			continue
		}
		if f.Tag.Get("mark") == mark {
			paths = append(paths, prefix+name)
		}
	}
	return paths
}
