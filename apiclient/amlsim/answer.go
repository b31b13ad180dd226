package amlsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// answer is what the simulator says before a fault spoils it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func jsonAnswer(status int, v any) answer {
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: encode(v)}
}

// encode renders JSON as most servers do: without escaping <, > and &.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte("{}") // cannot be: all values are maps, slices, texts and numbers
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func errorAnswer(status int, field, message string) answer {
	body := obj{"status": status, "error": http.StatusText(status), "message": message}
	if field != "" {
		body["field"] = field
	}
	return jsonAnswer(status, body)
}

// work does what the call asks for.
func (s *Simulator) work(ex *exchange) answer {
	switch {
	case s.broken != nil:
		return errorAnswer(http.StatusInternalServerError, "", "simulator configuration: "+s.broken.Error())
	case len(ex.body) > maxRequestBody:
		return errorAnswer(http.StatusRequestEntityTooLarge, "", "body too large")
	case ex.call == callOther:
		return errorAnswer(http.StatusNotFound, "", "no such resource")
	case ex.badMethod:
		a := errorAnswer(http.StatusMethodNotAllowed, "", "method not allowed")
		a.header.Set("Allow", ex.method)
		return a
	case ex.call == callStats:
		return jsonAnswer(http.StatusOK, s.Stats())
	case ex.call == CallDiscovery:
		return jsonAnswer(http.StatusOK, s.discovery(ex.base))
	case ex.call == CallToken:
		return s.token(ex)
	}
	return s.workAML(ex)
}

// workAML answers the calls that are limited and want a token.
func (s *Simulator) workAML(ex *exchange) answer {
	if ex.throttled > 0 {
		a := errorAnswer(http.StatusTooManyRequests, "", "too many requests")
		s.tellToWait(a, ex.throttled, s.cfg.RetryAfterDate)
		return a
	}
	scopes, ok := s.tokens.check(ex.header.Get("Authorization"), s.now())
	if !ok {
		a := errorAnswer(http.StatusUnauthorized, "", "token missing, unknown or expired")
		a.header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		return a
	}
	if !strings.Contains(" "+scopes+" ", " "+ScopeBasic+" ") {
		return errorAnswer(http.StatusForbidden, "", "scope "+ScopeBasic+" is missing")
	}
	switch {
	case ex.call == CallAccessRights:
		return jsonAnswer(http.StatusOK, s.accessRights())
	case ex.countryIndex < 0:
		return errorAnswer(http.StatusNotFound, "", "no such country")
	case ex.call == CallCreate:
		return s.createSession(ex, scopes)
	default:
		return s.workSession(ex)
	}
}

func (s *Simulator) accessRights() any {
	if s.cfg.NoRegistryAccess {
		return obj{"nationalRegistry": obj{"access": false, "rightsPackage": nil}}
	}
	return obj{"nationalRegistry": obj{"access": true, "rightsPackage": "PRIVAT_VIRKSOMHET_UTEN_FOLKEREGISTERIDENTIFIKATOR"}}
}

func (s *Simulator) createSession(ex *exchange, scopes string) answer {
	if ex.refused != nil {
		return errorAnswer(ex.refused.status, ex.refused.field, ex.refused.message)
	}
	sess := session{
		person:  ex.person,
		expands: ex.query.expands,
		country: uint8(ex.countryIndex),
	}
	if ex.query.report {
		sess.flags |= reportOrdered
	}
	if strings.Contains(" "+scopes+" ", " "+ScopeOFAC+" ") {
		sess.flags |= ofacSearched
	}
	id := s.register(sess, ex)
	a := jsonAnswer(http.StatusCreated, obj{"sessionId": id})
	a.header.Set("Location", ex.base+s.cfg.BasePath+"/person/session/"+ex.country+"/"+id)
	return a
}

// register stores the session and returns its id.
func (s *Simulator) register(sess session, ex *exchange) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess.created = int64(s.now())
	ordinal := s.sessions.perHead[sess.person]
	sess.fate = s.cfg.Fates.born(share(bits(s.cfg.Seed, drawFate, uint64(sess.person), uint64(ordinal))))
	if a := ex.action(ActFate); a != nil {
		sess.fate |= a.Fate.set()
	}
	number := s.sessions.add(sess, ex.query.pack())
	s.stats.created(sess.person, ordinal+1)
	return s.sessions.id(number)
}

// workSession answers the calls about a session.
func (s *Simulator) workSession(ex *exchange) answer {
	if !ex.found {
		return errorAnswer(http.StatusNotFound, "", "no such session")
	}
	sess, q, now := s.look(ex)
	p := s.progressAt(sess, now)
	if p.missing {
		return errorAnswer(s.cfg.GoneStatus, "", "no such session")
	}
	switch ex.call {
	case CallSession:
		return jsonAnswer(http.StatusOK, s.sessionInfo(ex, ex.id, sess, p))
	case CallDocument:
		if a, ok := s.withhold(p.document, p.documentGone); !ok {
			return a
		}
		s.delivered(ex.number)
		return jsonAnswer(http.StatusOK, s.document(ex, sess, q))
	default:
		if sess.flags&reportOrdered == 0 {
			return errorAnswer(http.StatusNotFound, "", "no report was ordered")
		}
		if a, ok := s.withhold(p.report, p.reportGone); !ok {
			return a
		}
		return s.report(ex, sess, q)
	}
}

// look takes the session out of the table, and gives it the fate a fault orders.
func (s *Simulator) look(ex *exchange) (session, query, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess := s.sessions.at(ex.number)
	if a := ex.action(ActFate); a != nil {
		sess.fate |= a.Fate.set()
	}
	return *sess, unpackQuery(*sess, s.sessions.texts.get(sess.text)), s.now()
}

// delivered notes that the document of a session was handed out.
func (s *Simulator) delivered(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess := s.sessions.at(number)
	if sess.flags&documentTaken == 0 {
		sess.flags |= documentTaken
		s.stats.closed()
	}
}

// withhold refuses an entity that is not ready or gone.
func (s *Simulator) withhold(status string, gone bool) (a answer, ready bool) {
	switch {
	case gone:
		return errorAnswer(s.cfg.GoneStatus, "", "no longer available"), false
	case status != statusReady:
		return errorAnswer(s.cfg.NotReadyStatus, "", "not ready: "+status), false
	}
	return answer{}, true
}
