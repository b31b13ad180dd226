package apiclient

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzSessionInformation(f *testing.F) {
	for _, seed := range []string{
		`{"jsonData":"IN_PROGRESS","aml-report":"NOT_STARTED"}`,
		`{"sessionId":"x","jsonData":{"status":"READY","href":"/a"},"aml-report":{"status":"IN_PROGRESS","href":null}}`,
		`{"results":[{"name":"jsonData","status":"READY"},{"name":"aml-report","status":"Failed","link":"https://x"}]}`,
		`[{"jsonData":"READY"}]`, `{"results":{"jsonData":{}},"status":"cancelled"}`, `{"jsonData":[[[[]]]]}`, `{"a":"\u0000"}`, `null`,
	} {
		f.Add([]byte(seed))
	}
	fields := DefaultProfile().Session
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := fields.read(data)
		if err != nil {
			if s != (Session{}) {
				t.Errorf("an error and a session: %+v", s)
			}
			return
		}
		if !json.Valid(data) {
			t.Error("not JSON and no error")
		}
		for _, e := range []Entity{s.Document, s.Report} {
			if !e.Present && e != (Entity{}) {
				t.Errorf("an entity that is not there has something: %+v", e)
			}
			if e.State() == EntityReady != (e.Present && strings.EqualFold(e.Status, "READY")) {
				t.Errorf("%+v is %v", e, e.State())
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"7", "0", "-1", "1e9", "99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", ""} {
		f.Add(value, "Sun, 06 Nov 1994 08:49:00 GMT")
		f.Add(value, "")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		h := http.Header{"Retry-After": {value}, "Date": {date}}
		d, ok := retryAfter(h, time.Unix(1e9, 0))
		if ok && (d < minRetryAfter || d > maxRetryAfter) || !ok && d != 0 {
			t.Errorf("%q at %q: %s, %t", value, date, d, ok)
		}
	})
}

func FuzzViewDocument(f *testing.F) {
	for _, seed := range []string{
		wholeDocument, `{}`, `{"aml":null}`, `{"aml":{"status":"NONE"}}`, `{"aml":{"pepResults":[],"sanctionResults":[]}}`,
		`{"aml":{"pepResults":[{}],"list":[]}}`, `{"address":{"historic":[{"numberOfResidents":1e300}]}}`, `{"aml":1,"aml":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DefaultProfile().ViewDocument(data)
		if err != nil {
			return
		}
		s := v.Screening()
		if s.Hit() && !s.Determined || s.Hit() && s.Clear() {
			t.Errorf("%+v contradicts itself", s)
		}
		if s.Determined && v.AML == nil {
			t.Errorf("an outcome without a search: %s", data)
		}
		if s.Clear() && (s.PEPHits == nil || s.SanctionHits == nil || len(v.AML.PEP)+len(v.AML.Sanctions) > 0) {
			t.Errorf("clear with something found or left open: %s", data)
		}
	})
}

func FuzzPDF(f *testing.F) {
	signed := newSigner(f).signed(f, "adbe.pkcs7.detached")
	f.Add(plainPDF())
	f.Add(signed)
	f.Add(signed[:len(signed)/2])
	f.Add(bytes.Replace(signed, []byte("/Contents <"), []byte("/Contents  <"), 1))
	f.Add([]byte("%PDF-1.7\n/ByteRange [0 10 12 90]\nstartxref\n0\n%%EOF"))
	f.Add([]byte("%PDF-1.7\n1 0 obj /Contents <30800000> /ByteRange [0 25 35 40] endobj startxref\n0\n%%EOF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := checkReport(data)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, []byte("%PDF-")) || !bytes.Contains(data, []byte("%%EOF")) {
			t.Error("not a PDF and no error")
		}
		if !bytes.Equal(r.Bytes, data) {
			t.Error("other bytes")
		}
		switch r.Signature {
		case SignatureValid, SignatureInvalid, SignatureUnverifiable:
			if !bytes.Contains(data, []byte("/ByteRange")) {
				t.Errorf("%s without a byte range", r.Signature)
			}
		case SignatureAbsent:
		default:
			t.Errorf("unknown result %q", r.Signature)
		}
	})
}

// What the depth check lets pass, the parser must come back from.
func FuzzSignature(f *testing.F) {
	s := newSigner(f)
	f.Add(s.cms(f, []byte("signed"), true))
	f.Add(s.timestamp(f, []byte("stamped")))
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 200))
	f.Add([]byte{0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00})
	f.Add([]byte{0x3f, 0xff, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, cms []byte) {
		deep := nestsDeep(cms)
		r := &signedRange{before: 1, after: 1, end: 2, subFilter: "adbe.pkcs7.detached", contents: []byte(hex.EncodeToString(cms))}
		check, detail := verifySignature([]byte("ab"), r)
		if check == SignatureValid || detail == "" {
			t.Errorf("%s (%s)", check, detail)
		}
		if deep && check != SignatureUnverifiable {
			t.Errorf("deep and %s", check)
		}
	})
}
