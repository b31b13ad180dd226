package amlsim_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/smallstep/pkcs7"

	"rescreen/apiclient/amlsim"
)

func (c *caller) report(p person) []byte {
	c.t.Helper()
	p.Expands = append(p.Expands, "links.reports.aml")
	got := c.get(c.session(p) + "/report/aml")
	wantStatus(c.t, got, http.StatusOK)
	return got.body
}

// pdfcpu reads and checks a file with a reader that is not ours, offline,
// without its configuration directory and trusting nobody.
func pdfcpu(t *testing.T, file []byte) ([]*model.SignatureValidationResult, error) {
	t.Helper()
	api.DisableConfigDir()
	model.TrustedCertDir = t.TempDir()
	conf := model.NewDefaultConfiguration()
	conf.Offline = true
	return api.ValidateSignaturesRaw(bytes.NewReader(file), true, conf)
}

func TestReportIsSignedPDF(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	many := nobody()
	many.LastName = strings.Repeat("Lang ", 190) // many lines
	for _, p := range []person{testPerson("Tomas", "Topstad", "01010750160"), nobody(), many} {
		file := c.report(p)
		if !bytes.HasPrefix(file, []byte("%PDF-1.7\n")) || !bytes.HasSuffix(file, []byte("%%EOF\n")) {
			t.Fatalf("file begins %.10q and ends %q", file, file[len(file)-10:])
		}
		wantSound(t, file)
		changed := bytes.Replace(file, []byte("AML-rapport"), []byte("AML-RAPPORT"), 2)
		if results, err := pdfcpu(t, changed); err == nil && (len(results) != 1 || results[0].Status != model.SignatureStatusInvalid || results[0].Reason != model.SignatureReasonDocModified) {
			t.Errorf("a changed report passes: %v", results)
		}
		if err := verify(t, changed); err == nil {
			t.Error("the signature of a changed report verifies")
		}
	}
}

// wantSound checks the signature with two libraries. pdfcpu 0.15 never says of
// a form signature that the document is unmodified (it counts every file as an
// increment, after which it takes the statement back), but gets as far as the
// certificate only if digest and signature are right.
func wantSound(t *testing.T, file []byte) {
	t.Helper()
	results, err := pdfcpu(t, file)
	if err != nil {
		t.Error(err)
		return
	}
	if len(results) != 1 || results[0].Reason != model.SignatureReasonCertNotTrusted || results[0].Details.SubFilter != "ETSI.CAdES.detached" {
		t.Errorf("signatures: %v", results)
	}
	if err := verify(t, file); err != nil {
		t.Errorf("signature: %v", err)
	}
}

// verify checks the signature over the byte range.
func verify(t *testing.T, file []byte) error {
	t.Helper()
	r := byteRange(t, file)
	der, err := hex.DecodeString(string(file[r[1]+1 : r[2]-1]))
	if err != nil {
		t.Fatal(err)
	}
	var exact asn1.RawValue // without the padding
	if _, err = asn1.Unmarshal(der, &exact); err != nil {
		t.Fatal(err)
	}
	signed, err := pkcs7.Parse(exact.FullBytes)
	if err != nil {
		t.Fatal(err)
	}
	signed.Content = slices.Concat(file[:r[1]], file[r[2]:])
	return signed.Verify()
}

// The byte range covers the file but for the signature itself.
func TestByteRange(t *testing.T) {
	file := newCaller(t, amlsim.New(amlsim.Config{})).report(nobody())
	if r := byteRange(t, file); r[0] != 0 || r[2]+r[3] != len(file) || file[r[1]] != '<' || file[r[2]-1] != '>' {
		t.Errorf("byte range %v of a file of %d", r, len(file))
	}
}

func byteRange(t *testing.T, file []byte) (r [4]int) {
	t.Helper()
	_, rest, _ := bytes.Cut(file, []byte("/ByteRange ["))
	numbers, _, _ := bytes.Cut(rest, []byte("]"))
	fields := strings.Fields(string(numbers))
	if len(fields) != len(r) {
		t.Fatalf("byte range %q", numbers)
	}
	for i, s := range fields {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		r[i] = n
	}
	return r
}

func TestReportSpeaksTheOrderedLanguage(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	for language, word := range map[string]string{"": "Laget", "no": "Laget", "nb": "Laget", "nn": "Laga", "en": "Made", "EN": "Made"} {
		p := nobody()
		p.Language = language
		if file := c.report(p); !bytes.Contains(file, []byte("("+word+": ")) {
			t.Errorf("language %q: report does not say %q", language, word)
		}
	}
}

// A report is a file that exists once: fetching it again, later, gives the same.
func TestReportIsTheSameWheneverFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{TokenLife: time.Hour}))
		path := c.session(withReport()) + "/report/aml"
		first := c.get(path).body
		time.Sleep(10 * time.Minute)
		if !bytes.Equal(first, c.get(path).body) {
			t.Error("the second fetch gave another file")
		}
	})
}

func TestReportHoldsWhatWasOrdered(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	p := testPerson("Tomas", "Topstad", "01010750160")
	full := c.report(p)
	p.Expands = nil
	least := c.report(p)
	for _, words := range []string{"(Postadresse: Testveien 1", "(Folkeregisteret: ", "(Tidligere adresse: ", "(PEP: Tomas Topstad, PEP_Edge", "(Sanksjon: ", "(Beboere: 3)", "(Statsborgerskap: NO)"} {
		if !bytes.Contains(full, []byte(words)) {
			t.Errorf("%q is missing", words)
		}
		if bytes.Contains(least, []byte(words)) {
			t.Errorf("%q was not ordered", words)
		}
	}
}

// Names hold what PDF strings escape, and letters its fonts do not have.
func TestReportOfUnusualNames(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	for _, name := range []string{`(\)`, "Åse-Ødegård Ñandú", "Łukasz 山田", "O'Test", strings.Repeat("W", 900), "))((", "%PDF- %%EOF stream endobj"} {
		p := nobody()
		p.LastName = name
		wantSound(t, c.report(p))
	}
}
