package apiclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxProfileBytes bounds a profile file; the default one has about 3 KiB.
const maxProfileBytes = 64 << 10

// ReadProfile reads a YAML profile. What it does not name keeps its default; a
// list replaces the default list. A key that does not exist is an error, so
// that a misspelt reading cannot pass for an applied one.
func ReadProfile(r io.Reader) (Profile, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileBytes+1))
	if err != nil {
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}
	if len(data) > maxProfileBytes {
		return Profile{}, fmt.Errorf("profile larger than %d bytes", maxProfileBytes)
	}
	p := DefaultProfile()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return Profile{}, fmt.Errorf("profile: %w", err)
	}
	if err := dec.Decode(new(Profile)); !errors.Is(err, io.EOF) {
		return Profile{}, errors.New("profile: more than one document")
	}
	if err := p.Validate(); err != nil {
		return Profile{}, err
	}
	return p, nil
}

// Validate reports every field that cannot be worked with, by its YAML path.
func (p Profile) Validate() error {
	return errors.Join(p.validatePaths(), p.validateCreate(), p.validateStatuses(),
		p.validateSession(), p.validateOrigins(), p.validateDocument())
}

var (
	placeholder    = regexp.MustCompile(`\{[^}]*\}`)
	countrySegment = regexp.MustCompile(`^[a-z]{2}$`)
)

func (p Profile) validatePaths() error {
	var errs []error
	if len(p.Countries) == 0 {
		errs = append(errs, errors.New("profile: countries: empty"))
	}
	for _, c := range p.Countries {
		if !countrySegment.MatchString(c) {
			errs = append(errs, fmt.Errorf("profile: countries: %q is not two small letters", c))
		}
	}
	for _, t := range []struct {
		key, path string
		needs     []string
	}{
		{"create", p.Paths.Create, []string{"{country}"}},
		{"session", p.Paths.Session, []string{"{session}"}},
		{"document", p.Paths.Document, []string{"{session}"}},
		{"report", p.Paths.Report, []string{"{session}"}},
		{"access_rights", p.Paths.AccessRights, nil},
	} {
		if err := validatePath(t.path, t.needs); err != nil {
			errs = append(errs, fmt.Errorf("profile: paths.%s: %w", t.key, err))
		}
	}
	return errors.Join(errs...)
}

func validatePath(path string, needs []string) error {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "#\\ \t\r\n") {
		return fmt.Errorf("%q is not a path", path)
	}
	for _, need := range needs {
		if !strings.Contains(path, need) {
			return fmt.Errorf("%q lacks %s", path, need)
		}
	}
	for _, found := range placeholder.FindAllString(path, -1) {
		if found != "{country}" && found != "{session}" {
			return fmt.Errorf("%q: unknown placeholder %s", path, found)
		}
	}
	return nil
}

func (p Profile) validateCreate() error {
	var errs []error
	c := p.Create
	for key, name := range map[string]string{
		"first_name": c.FirstName, "last_name": c.LastName, "date_of_birth": c.DateOfBirth,
		"ssn": c.SSN, "expands": c.Expands, "session_id": c.SessionID,
	} {
		if name == "" {
			errs = append(errs, fmt.Errorf("profile: create.%s: empty", key))
		}
	}
	// A layout that cannot carry a whole date would send a wrong one.
	day := time.Date(2007, 11, 23, 0, 0, 0, 0, time.UTC)
	if back, err := time.Parse(c.DateLayout, day.Format(c.DateLayout)); err != nil || !back.Equal(day) {
		errs = append(errs, fmt.Errorf("profile: create.date_layout: %q holds no whole date", c.DateLayout))
	}
	everything := Query{SSN: "-", Language: "nb", Expands: []string{"aml"}}
	if _, err := c.body(everything, &day); err != nil {
		errs = append(errs, fmt.Errorf("profile: create: %w", err))
	}
	return errors.Join(errs...)
}

func (p Profile) validateStatuses() error {
	var errs []error
	s := p.Statuses
	for _, list := range []struct {
		key      string
		statuses []int
		from, to int
	}{
		{"not_created", s.NotCreated, 300, 599},
		{"busy", s.Busy, 400, 599},
		{"refused", s.Refused, 400, 499},
		{"not_ready", s.NotReady, 201, 499},
		{"gone", s.Gone, 400, 499},
	} {
		for _, status := range list.statuses {
			if status < list.from || status > list.to {
				errs = append(errs, fmt.Errorf("profile: statuses.%s: %d is not within %d and %d",
					list.key, status, list.from, list.to))
			}
			if (status == 401 || status == 403 || status == 429) && list.key != "not_created" {
				errs = append(errs, fmt.Errorf("profile: statuses.%s: %d has a fixed meaning", list.key, status))
			}
		}
	}
	return errors.Join(errs...)
}

func (p Profile) validateSession() error {
	var errs []error
	s := p.Session
	if s.Document == "" || s.Report == "" || s.Document == s.Report {
		errs = append(errs, errors.New("profile: session.document and session.report need two different names"))
	}
	for key, list := range map[string][]string{
		"name_keys": s.NameKeys, "status_keys": s.StatusKeys, "ready": s.Ready,
		"lists": s.Lists, "link_keys": s.LinkKeys, "failed": s.Failed,
	} {
		if slices.Contains(list, "") {
			// An empty part would match every status.
			errs = append(errs, fmt.Errorf("profile: session.%s: empty entry", key))
		}
	}
	if len(s.StatusKeys) == 0 || len(s.Ready) == 0 {
		errs = append(errs, errors.New("profile: session.status_keys and session.ready must not be empty"))
	}
	for _, literal := range s.Ready {
		if containsFold(literal, s.Failed) {
			errs = append(errs, fmt.Errorf("profile: session.ready: %q is a failing literal too", literal))
		}
	}
	return errors.Join(errs...)
}

func (p Profile) validateOrigins() error {
	var errs []error
	for _, a := range p.Links.AllowedOrigins {
		u, err := parseEndpoint(a.Origin, false)
		if err != nil {
			errs = append(errs, fmt.Errorf("profile: links.allowed_origins: %w", err))
		} else if u.Path != "" {
			errs = append(errs, fmt.Errorf("profile: links.allowed_origins: %q has a path", a.Origin))
		}
	}
	return errors.Join(errs...)
}

func (p Profile) validateDocument() error {
	var errs []error
	d := p.Document
	for key, name := range map[string]string{
		"aml": d.AML, "status": d.Status, "pep_results": d.PEPResults, "sanction_results": d.SanctionResults,
	} {
		if name == "" {
			errs = append(errs, fmt.Errorf("profile: document.%s: empty", key))
		}
	}
	if slices.Contains(d.ErrorWords, "") || slices.Contains(d.ErrorKeys, "") {
		errs = append(errs, errors.New("profile: document.error_keys and document.error_words: empty entry"))
	}
	for _, literal := range d.NoHits {
		if equalsFold(literal, d.Hits) {
			errs = append(errs, fmt.Errorf("profile: document.no_hits: %q stands for hits too", literal))
		}
	}
	return errors.Join(errs...)
}

// containsFold reports whether s contains one of parts, in any case.
func containsFold(s string, parts []string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(parts, func(part string) bool {
		return strings.Contains(s, strings.ToLower(part))
	})
}

// equalsFold reports whether s is one of literals, in any case.
func equalsFold(s string, literals []string) bool {
	return slices.ContainsFunc(literals, func(l string) bool { return strings.EqualFold(s, l) })
}
