package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"rescreen/apiclient"
)

// An assumption is something that we assume of the API because its documentation does not
// say, and how a live session tells whether it holds.
type assumption struct {
	name   string
	fields []string // of the profile, see [apiclient.Profile.Assumed]
	judge  func(*liveSession) finding
}

// assumptions are all of them, in the order in which a session meets them. What one says
// holds neither the person nor what was found about him.
func assumptions() []assumption {
	return []assumption{
		{"addresses", []string{"base_urls"}, (*liveSession).judgeAddresses},
		{"create", []string{"countries", "create.language", "create.expands", "create.date_layout", "create.expands_as_text"}, (*liveSession).judgeCreate},
		{"session-path", []string{"paths.session"}, (*liveSession).judgeSessionPath},
		{"session-shape", []string{"session.document", "session.report", "session.lists", "session.name_keys", "session.status_keys"}, (*liveSession).judgeShape},
		{"session-status", []string{"session.status", "session.failed"}, (*liveSession).judgeStatus},
		{"not-ready", []string{"statuses.not_ready"}, (*liveSession).judgeEarly},
		{"unknown-session", []string{"statuses.gone"}, (*liveSession).judgeNobody},
		{"links", []string{"session.link_keys", "links.allowed_origins"}, (*liveSession).judgeLinks},
		{"document-path", []string{"paths.document"}, (*liveSession).judgeDocumentPath},
		{"document", []string{
			"document.status", "document.status_message", "document.pep_results", "document.sanction_results",
			"document.lists", "document.no_hits", "document.hits", "document.error_keys", "document.error_words",
		}, (*liveSession).judgeDocument},
		{"report-order", []string{"create.report_expand"}, (*liveSession).judgeReportOrder},
		{"report-path", []string{"paths.report"}, (*liveSession).judgeReportPath},
		{"report-signature", nil, (*liveSession).judgeSignature},
		{"access-rights", []string{"paths.access_rights", "access_rights.granted"}, func(*liveSession) finding {
			return notKnown("see national-registry: the same call")
		}},
		{"limits-told", nil, (*liveSession).judgeLimits},
		{"refusals", []string{"statuses.not_created", "statuses.busy", "statuses.refused"}, (*liveSession).judgeRefusals},
		{"lifetime", nil, func(*liveSession) finding {
			return notKnown("not tried: it takes two hours to see that a result is gone")
		}},
	}
}

// editProfile says which part of the profile to change.
func editProfile(fields ...string) string {
	return "Say in a file for --api-profile how it is: " + strings.Join(fields, ", ") + "."
}

const noSession = "not tried: no session was created"

// profile is how we read the API.
func (l *liveSession) profile() apiclient.Profile {
	p, err := l.api.settings.API.profile()
	if err != nil || p.Paths.Create == "" {
		return apiclient.DefaultProfile()
	}
	return p
}

func (l *liveSession) judgeAddresses() finding {
	if l.api.err != nil {
		return failure("See api-addresses and api-token.", "%s", apiText(l.api.err))
	}
	if l.createErr != nil {
		return notKnown("see live-create")
	}
	return fine("the API answers at %s (from %s)", l.api.login.Base, l.api.login.BaseFrom)
}

func (l *liveSession) judgeCreate() finding {
	var e *apiclient.Error
	if l.createErr == nil {
		answer := l.api.recorder.last(http.MethodPost, "")
		text := fmt.Sprintf("created: status %d, the id of the session is where it is documented (sessionId)", answer.status)
		if answer.header.Get("Location") != "" {
			text += "; a Location came, too"
		}
		if l.cut {
			text += "; the session was created and left alone, and may be billed"
		}
		return fine("%s", text)
	}
	errors.As(l.createErr, &e)
	text := apiText(l.createErr)
	var r *refusal
	switch {
	case errors.As(l.createErr, &r) && r.do == "":
		return notKnown("%s", r.found)
	case errors.As(l.createErr, &r):
		return failure(r.do, "%s", r.found)
	case e == nil:
		return failure("", "%s", text)
	case e.Kind == apiclient.Refused:
		return failure("Names or forms of members differ, or the person is none of this environment. "+editProfile("create.date_layout, create.expands, create.language …"), "the query is refused: %s", text)
	case e.Kind == apiclient.Misconfigured:
		return failure(editProfile("paths.create, base_urls")+" Or set --api-base-url.", "there is no such call: %s", text)
	case e.Kind == apiclient.Denied:
		return failure("See api-scopes; and ask BankID whether the client is provisioned.", "%s", text)
	case e.Kind == apiclient.Unknown:
		return failure("A session may exist, and be billed. If the answer came and could not be read: "+editProfile("create.session_id"), "unknown whether it was created: %s", text)
	}
	return failure("Try again later.", "%s", text)
}

func (l *liveSession) judgeSessionPath() finding {
	switch {
	case l.createErr != nil:
		return notKnown(noSession)
	case len(l.infos) > 0:
		return fine("held: %d polls were answered", len(l.infos))
	case l.pollErr == nil:
		return notKnown("no time for a poll: give --live-wait more than --poll-first")
	}
	return failure(editProfile("paths.session"), "the session cannot be asked for: %s", apiText(l.pollErr))
}

// failedText says by which status a session has failed.
func failedText(s apiclient.Session) string {
	var by []string
	if s.Status != "" {
		by = append(by, "its status "+literalText(s.Status))
	}
	if s.Document.Status != "" {
		by = append(by, "its document's status "+literalText(s.Document.Status))
	}
	if len(by) == 0 {
		return "the session failed"
	}
	return "the session failed, by " + strings.Join(by, " and ")
}

// literalText shows a status as it was sent, if it looks like one.
func literalText(s string) string {
	if s == "" {
		return "no status"
	}
	if regexp.MustCompile(`^[A-Za-z]+(_[A-Za-z]+)*$`).MatchString(s) {
		return s
	}
	return "(something else)"
}

// literals are the statuses that were seen of an entity, each once.
func (l *liveSession) literals(of func(apiclient.Session) apiclient.Entity) []string {
	var seen []string
	for _, info := range l.infos {
		if e := of(info); e.Present && !slices.Contains(seen, literalText(e.Status)) {
			seen = append(seen, literalText(e.Status))
		}
	}
	return seen
}

func (l *liveSession) judgeShape() finding {
	if len(l.infos) == 0 {
		return notKnown("not seen: see live-session-path")
	}
	document := l.literals(func(s apiclient.Session) apiclient.Entity { return s.Document })
	report := l.literals(func(s apiclient.Session) apiclient.Entity { return s.Report })
	if len(document) == 0 {
		return failure(editProfile("session.document, session.lists, session.name_keys, session.status_keys"), "the session tells nothing of the document under the names that are assumed")
	}
	text := fmt.Sprintf("held: %s, document %s", l.shape(), strings.Join(document, ", "))
	if len(report) > 0 {
		text += ", report " + strings.Join(report, ", ")
	}
	if l.query.Report && len(report) == 0 {
		return warning(editProfile("session.report"), "%s; it tells nothing of the report that was ordered", text)
	}
	return fine("%s", text)
}

// shape is which of the three shapes of session information came.
func (l *liveSession) shape() string {
	answer := l.api.recorder.last(http.MethodGet, "/"+string(l.ref.ID))
	if answer == nil {
		return "a shape that was not seen"
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(answer.body.Bytes(), &top) != nil {
		return "a list"
	}
	raw := top[l.profile().Session.Document]
	switch {
	case len(raw) == 0:
		return "a list in the answer"
	case raw[0] == '"':
		return "flat"
	}
	return "nested"
}

func (l *liveSession) judgeStatus() finding {
	if len(l.infos) == 0 {
		return notKnown("not seen: see live-session-path")
	}
	last := l.last()
	if last.Failed() || last.Document.State() == apiclient.EntityFailed {
		return failure("Try another test person; if it fails again ask BankID, with the time of this run.", "%s", failedText(last))
	}
	if last.Document.State() != apiclient.EntityReady {
		return failure("Give it longer (--live-wait); if it says that it is ready in another word: "+editProfile("session.ready"), "not ready after %s and %d polls: %s", durationText(l.took.Round(time.Second)), len(l.infos), literalText(last.Document.Status))
	}
	return fine("held: ready after %s and %d polls; no failure was seen", durationText(max(l.took.Round(100*time.Millisecond), 100*time.Millisecond)), len(l.infos))
}

func (l *liveSession) judgeEarly() finding {
	if l.createErr != nil {
		return notKnown(noSession)
	}
	kind, failed := apiclient.KindOf(l.earlyErr)
	switch {
	case !failed:
		return notKnown("not seen: the document was there at once")
	case kind == apiclient.NotReady:
		return fine("held: a fetch that comes too early is answered with %s", apiText(l.earlyErr))
	}
	return warning("No harm, as a worker fetches what is ready only. To be exact: "+editProfile("statuses.not_ready"), "a fetch that comes too early is answered with %s", apiText(l.earlyErr))
}

func (l *liveSession) judgeNobody() finding {
	kind, failed := apiclient.KindOf(l.nobodyErr)
	switch {
	case l.createErr != nil:
		return notKnown(noSession)
	case kind == apiclient.Gone:
		return fine("held: a session that does not exist is answered with %s", apiText(l.nobodyErr))
	case !failed:
		return warning("Tell the authors of rescreen: a session that is gone cannot be told from one that is not ready.", "a session that does not exist is answered as if it did")
	}
	return warning(editProfile("statuses.gone")+" Else a session that is gone is polled until its deadline.", "a session that does not exist is answered with %s", apiText(l.nobodyErr))
}

func (l *liveSession) judgeLinks() finding {
	if len(l.infos) == 0 {
		return notKnown("not seen: see live-session-path")
	}
	document, report := l.linkKind(l.last().Document.Link), l.linkKind(l.last().Report.Link)
	if document == "" && report == "" {
		return warning("The paths of the profile are used instead, see live-document-path and live-report-path. The link to the report is documented, so look under which name it comes: "+editProfile("session.link_keys"), "no links in the session")
	}
	for _, kind := range []string{document, report} {
		if strings.HasPrefix(kind, "to ") {
			return failure(editProfile("links.allowed_origins")+" Only if BankID says that it is theirs.", "a link leads %s, and is not followed", kind)
		}
	}
	if document == "" {
		return fine("held: the report's link is %s; the document has none", report)
	}
	return fine("held: the document's link is %s", document)
}

// linkKind says how a link is written, or "to HOST" if it leads elsewhere; "" without one.
func (l *liveSession) linkKind(link string) string {
	if link == "" {
		return ""
	}
	u, err := url.Parse(link)
	base, baseErr := url.Parse(l.api.login.Base)
	switch {
	case err != nil || baseErr != nil:
		return "not to be read"
	case u.Host == "" && strings.HasPrefix(link, "/"):
		return "a path"
	case u.Host == "":
		return "relative"
	case u.Host != base.Host || u.Scheme != base.Scheme:
		return "to " + u.Host
	}
	return "absolute, at the API's own address"
}

func (l *liveSession) judgeDocumentPath() finding {
	switch {
	case l.last().Document.State() != apiclient.EntityReady:
		return notKnown("not tried: no document was ready")
	case l.byPath == nil:
		return fine("held: the document is also at the path that is assumed")
	case l.last().Document.Link != "":
		return warning("No harm as long as the session gives links. "+editProfile("paths.document"), "not at the path that is assumed: %s", apiText(l.byPath))
	}
	return failure(editProfile("paths.document"), "the session gives no link, and the document is not at the path that is assumed: %s", apiText(l.byPath))
}

func (l *liveSession) judgeDocument() finding {
	if l.last().Document.State() != apiclient.EntityReady {
		return notKnown("not tried: no document was ready")
	}
	if l.documentErr != nil {
		return failure("See live-links and live-document-path.", "the document cannot be fetched: %s", apiText(l.documentErr))
	}
	view, err := l.api.client.View(l.document)
	if err != nil {
		return failure("Keep what came (rescreen never shows it here) and tell the authors of rescreen.", "the document cannot be read: %v", err)
	}
	var missing []string
	if view.AML == nil {
		missing = append(missing, "aml")
	} else {
		for name, there := range map[string]bool{
			"pep_results": view.AML.PEP != nil, "sanction_results": view.AML.Sanctions != nil,
			"status": view.AML.Status != nil, "lists": view.AML.Lists != nil,
		} {
			if !there {
				missing = append(missing, "document."+name)
			}
		}
	}
	slices.Sort(missing)
	switch {
	case !view.Screening().Determined:
		return failure("Until it is, every result is undetermined. "+editProfile(append(missing, "document.no_hits", "document.hits")...), "the document does not say, under the names that are assumed, whether there are hits")
	case len(missing) > 0:
		return warning(editProfile(missing...), "the search can be read, but not all of it: not found are %s", strings.Join(missing, ", "))
	}
	return fine("held: status, both lists of hits and the lists searched are where they are assumed; errors within a document were not seen")
}

func (l *liveSession) judgeReportOrder() finding {
	switch {
	case !l.query.Report:
		return notKnown("not tried: the person's row orders no report")
	case len(l.infos) == 0:
		return notKnown(noSession)
	case l.last().Report.Present:
		return fine("held: the report that was ordered is among the results: %s", literalText(l.last().Report.Status))
	}
	return warning(editProfile("create.report_expand"), "a report was ordered, and the session tells of none")
}

func (l *liveSession) judgeReportPath() finding {
	switch {
	case l.last().Report.State() != apiclient.EntityReady:
		return notKnown("not tried: no report was ready")
	case l.reportWay == nil:
		return fine("held: the report is also at the path that is assumed")
	case l.last().Report.Link != "":
		return warning("No harm as long as the session gives links. "+editProfile("paths.report"), "not at the path that is assumed: %s", apiText(l.reportWay))
	}
	return failure(editProfile("paths.report"), "the session gives no link, and the report is not at the path that is assumed: %s", apiText(l.reportWay))
}

func (l *liveSession) judgeSignature() finding {
	if l.last().Report.State() != apiclient.EntityReady {
		return notKnown("not tried: no report was ready")
	}
	if l.reportErr != nil {
		return failure("See live-links and live-report-path.", "the report cannot be fetched: %s", apiText(l.reportErr))
	}
	if l.report.Signature == apiclient.SignatureValid {
		return fine("a PDF of %s with a valid signature over all of it", sizeText(int64(len(l.report.Bytes))))
	}
	return warning("Results are published all the same, and say so in report.signature. Check the file with another tool (pdfsig), and ask BankID how reports are signed.",
		"a PDF whose signature is %s: %s", l.report.Signature, l.report.Detail)
}

// judgeLimits looks for headers that tell of limits, which only ever slow us down.
func (l *liveSession) judgeLimits() finding {
	if l.createErr != nil {
		return notKnown(noSession)
	}
	var names []string
	n := 0
	for _, a := range l.api.recorder.all() {
		if !a.api {
			continue
		}
		n++
		for name := range a.header {
			lower := strings.ToLower(name)
			if (strings.Contains(lower, "ratelimit") || lower == "retry-after") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return fine("none of %d answers told of limits: what the API allows has to be asked for", n)
	}
	slices.Sort(names)
	return fine("answers hold %s, which are heeded", strings.Join(names, ", "))
}

func (l *liveSession) judgeRefusals() finding {
	var e *apiclient.Error
	if errors.As(l.createErr, &e) && e.Status != 0 {
		return notKnown("seen: a creation was answered with %s", apiText(l.createErr))
	}
	return notKnown("not tried: a creation that is to be refused could be billed")
}
