package amlsim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const tokenPath = RealmPath + "/protocol/openid-connect/token"

// discovery is the OIDC discovery document with BankID's own key.
func (s *Simulator) discovery(base string) any {
	issuer := base + RealmPath
	return obj{
		"issuer":                                issuer,
		"token_endpoint":                        base + tokenPath,
		"authorization_endpoint":                issuer + "/protocol/openid-connect/auth",
		"jwks_uri":                              issuer + "/protocol/openid-connect/certs",
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"scopes_supported":                      s.cfg.Scopes,
		"aml-baseurl":                           base + s.cfg.BasePath,
	}
}

// token answers the token endpoint.
func (s *Simulator) token(ex *exchange) answer {
	form, err := url.ParseQuery(string(ex.body))
	if err != nil || !strings.HasPrefix(ex.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return oauthError(http.StatusBadRequest, "invalid_request", "a form was expected")
	}
	if !s.knownClient(ex.header, form) {
		return oauthError(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
	}
	if form.Get("grant_type") != "client_credentials" {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant_type")
	}
	var granted []string
	for scope := range strings.FieldsSeq(form.Get("scope")) {
		if slices.Contains(s.cfg.Scopes, scope) {
			granted = append(granted, scope)
		} else if s.cfg.StrictScopes {
			return oauthError(http.StatusBadRequest, "invalid_scope", "Invalid scopes")
		}
	}
	scope := strings.Join(granted, " ")
	a := jsonAnswer(http.StatusOK, obj{
		"access_token":       s.tokens.mint(scope, s.now()+s.cfg.TokenLife),
		"token_type":         s.cfg.TokenType,
		"expires_in":         int64(s.cfg.TokenLife / time.Second),
		"refresh_expires_in": 0,
		"not-before-policy":  0,
		"scope":              scope,
	})
	a.header.Set("Cache-Control", "no-store")
	return a
}

func oauthError(status int, code, description string) answer {
	return jsonAnswer(status, obj{"error": code, "error_description": description})
}

// knownClient checks the credentials, in the header or in the form.
func (s *Simulator) knownClient(header http.Header, form url.Values) bool {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	r := http.Request{Header: header}
	if user, password, ok := r.BasicAuth(); ok {
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
		var errID, errSecret error
		id, errID = url.QueryUnescape(user)
		secret, errSecret = url.QueryUnescape(password)
		if errID != nil || errSecret != nil {
			return false
		}
	}
	sameID := subtle.ConstantTimeCompare([]byte(id), []byte(s.cfg.ClientID))
	sameSecret := subtle.ConstantTimeCompare([]byte(secret), []byte(s.cfg.ClientSecret))
	return sameID&sameSecret == 1
}

// tokenMint makes access tokens and knows them again without keeping any: a
// token carries what it is worth under a keyed hash.
type tokenMint struct {
	key     [32]byte
	serial  atomic.Uint64 // of the last token made
	revoked atomic.Uint64 // tokens up to this serial are worth nothing
}

func newTokenMint() *tokenMint {
	m := &tokenMint{}
	_, _ = rand.Read(m.key[:]) // never fails, by its documentation
	return m
}

// mint makes a token: serial number, end of life and scopes in plain.
func (m *tokenMint) mint(scope string, expires time.Duration) string {
	claims := binary.BigEndian.AppendUint64(nil, m.serial.Add(1))
	claims = binary.BigEndian.AppendUint64(claims, uint64(expires))
	claims = append(claims, scope...)
	return base64.RawURLEncoding.EncodeToString(claims) + "." + base64.RawURLEncoding.EncodeToString(m.sum(claims))
}

func (m *tokenMint) sum(claims []byte) []byte {
	h := hmac.New(sha256.New, m.key[:])
	h.Write(claims)
	return h.Sum(nil)
}

// read returns what the token in an Authorization header says, if it is one of ours.
func (m *tokenMint) read(authorization string) (claims []byte, ok bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, false
	}
	body, sum, _ := strings.Cut(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, false
	}
	given, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(given, m.sum(claims)) {
		return nil, false
	}
	return claims, true
}

// serialOf returns the serial number of the token in an Authorization header, 0
// if it is none of ours.
func (m *tokenMint) serialOf(authorization string) uint64 {
	claims, ok := m.read(authorization)
	if !ok {
		return 0
	}
	return binary.BigEndian.Uint64(claims)
}

// check returns the scopes of the token in an Authorization header, if it is
// worth anything now.
func (m *tokenMint) check(authorization string, now time.Duration) (scopes string, ok bool) {
	claims, ok := m.read(authorization)
	if !ok {
		return "", false
	}
	serial, expires := binary.BigEndian.Uint64(claims), time.Duration(binary.BigEndian.Uint64(claims[8:]))
	if now >= expires || serial <= m.revoked.Load() {
		return "", false
	}
	return string(claims[16:]), true
}

// revokeAll makes every token made so far worthless.
func (m *tokenMint) revokeAll() { m.revoked.Store(m.serial.Load()) }
