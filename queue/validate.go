package queue

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
)

// Bounds of a job. Characters are Unicode code points.
const (
	MaxCustomerRef = 128
	// MaxName is generous: no register of the four countries holds more.
	MaxName    = 256
	MaxCountry = 16
	// MaxAttempt bounds a number that becomes a token of subjects.
	MaxAttempt = 9999
)

// dateLayout is the documented form of date_of_birth.
const dateLayout = time.DateOnly

// Expands returns the documented values of the member expands.
func Expands() []string {
	return []string{
		"keyInformation.citizenship", "keyInformation.birthplace", "keyInformation.historicNames",
		"address.postal", "address.national", "address.historic", "address.numberOfResidents",
		"aml", "roles",
	}
}

// Languages returns the documented values of the member language.
func Languages() []string { return []string{"nb", "nn", "no", "en"} }

// SSNCountries returns the countries whose numbers can be asked for.
func SSNCountries() []nationalid.Country { return []nationalid.Country{"NO", "SE", "DK", "FI"} }

// Validate checks every rule a job has to keep, in the order of the members.
// The error is a *JobError for the first rule broken. Members with a default
// must be filled in: see WithDefaults.
func (j Job) Validate() error {
	for _, check := range []struct {
		member  string
		problem string
	}{
		{"id", j.idProblem()},
		{"customer_ref", customerRefProblem(j.CustomerRef)},
		{"first_name", nameProblem(j.FirstName)},
		{"last_name", nameProblem(j.LastName)},
		{"date_of_birth", j.birthProblem(time.Now())},
		{"ssn_country", oneOf(j.SSNCountry, SSNCountries())},
		{"ssn", j.ssnProblem()},
		{"country", countryProblem(j.Country)},
		{"expands", expandsProblem(j.Expands)},
		{"language", oneOf(j.Language, Languages())},
		{"attempt", attemptProblem(j.Attempt)},
	} {
		if check.problem != "" {
			return &JobError{Member: check.member, Problem: check.problem}
		}
	}
	return nil
}

func (j Job) idProblem() string {
	switch {
	case j.ID == "":
		return "is missing"
	case !token(string(j.ID), MaxJobID, true):
		return "is not 1 to 64 of A-Z, a-z, 0-9, _ and -"
	case nationalid.Looks(string(j.ID)):
		return "reads as a national identity number"
	}
	return ""
}

func customerRefProblem(ref string) string {
	if problem := textProblem(ref, MaxCustomerRef); problem != "" {
		return problem
	}
	if nationalid.Looks(ref) {
		return "reads as a national identity number"
	}
	return ""
}

func nameProblem(name personal.Text) string { return textProblem(name.Reveal(), MaxName) }

// textProblem holds the rules of free text. Control characters and the
// replacement character are signs of a file read in the wrong encoding, and a
// damaged name would be screened as somebody else's.
func textProblem(s string, limit int) string {
	switch {
	case s == "":
		return "is missing"
	case strings.TrimSpace(s) == "":
		return "is blank"
	case !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError):
		return "holds a damaged character"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "holds a control character"
	case utf8.RuneCountInString(s) > limit:
		return "is too long"
	}
	return ""
}

func (j Job) birthProblem(now time.Time) string {
	if j.DateOfBirth == "" {
		if j.SSN == "" {
			return "is missing, and so is ssn"
		}
		return ""
	}
	date, err := time.Parse(dateLayout, j.DateOfBirth.Reveal())
	switch {
	case err != nil:
		return "is not a date in the form YYYY-MM-DD"
	case date.Year() < firstBirthYear:
		return "lies before 1850"
	case date.After(latestBirth(now)):
		return "lies in the future"
	}
	return ""
}

// firstBirthYear catches typing errors; nobody born before it is a customer.
const firstBirthYear = 1850

// latestBirth is the last date somebody may be born on: today, wherever on
// earth it is today. A clock that stands before this code was written is
// wrong (a machine without battery, a simulated one that starts in 2000) and
// must not refuse people born since.
func latestBirth(now time.Time) time.Time {
	written := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	if now.Before(written) {
		now = written
	}
	return now.UTC().Add(14 * time.Hour)
}

func (j Job) ssnProblem() string {
	if j.SSN == "" {
		return ""
	}
	if _, err := nationalid.Parse(j.SSNCountry, j.SSN); err != nil {
		// Errors of nationalid name the rule and never the number.
		return "cannot exist in its country: " + err.Error()
	}
	return ""
}

func countryProblem(country string) string {
	if !token(country, MaxCountry, true) {
		return "is not 1 to 16 of A-Z, a-z, 0-9, _ and -"
	}
	return ""
}

func expandsProblem(expands []string) string {
	if len(expands) == 0 {
		return "is empty"
	}
	known := Expands()
	for i, e := range expands {
		switch {
		case e == "links.reports.aml":
			return "orders the report, which the member report does"
		case !slices.Contains(known, e):
			return "holds an unknown value"
		case slices.Contains(expands[:i], e):
			return "holds a value twice"
		}
	}
	return ""
}

func oneOf[T ~string](value T, allowed []T) string {
	if slices.Contains(allowed, value) {
		return ""
	}
	var names strings.Builder
	for i, a := range allowed {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(string(a))
	}
	return "is none of " + names.String()
}

func attemptProblem(attempt int) string {
	if attempt < 1 || attempt > MaxAttempt {
		return "is not a whole number from 1 to 9999"
	}
	return ""
}
