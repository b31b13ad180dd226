package apiclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

func TestSignedReports(t *testing.T) {
	s := newSigner(t)
	file := s.signed(t, "adbe.pkcs7.detached")
	flip := func(at int) []byte {
		f := bytes.Clone(file)
		f[at] ^= 1
		return f
	}
	contents := bytes.Index(file, []byte("/Contents <")) + len("/Contents <")
	other := bytes.Clone(file)
	elsewhere := s.signed(t, "ETSI.CAdES.detached")
	from := bytes.Index(elsewhere, []byte("/Contents <")) + len("/Contents <")
	copy(other[contents:], elsewhere[from:from+contentsDigits])
	stamped := s.update(t, file, "ETSI.RFC3161")
	flipStamped := bytes.Clone(stamped)
	flipStamped[len(file)+5] ^= 1
	for _, tc := range []struct {
		name string
		file []byte
		want SignatureCheck
	}{
		{"valid, with a timestamp of it added", stamped, SignatureValid},
		{"valid, with a second signature", s.update(t, file, "ETSI.CAdES.detached"), SignatureValid},
		{"a timestamp alone", s.signed(t, "ETSI.RFC3161"), SignatureValid},
		{"changed behind the first signature", flipStamped, SignatureInvalid},
		{"first signature broken, timestamp added", s.update(t, flip(30), "ETSI.RFC3161"), SignatureInvalid},
		{"with an end that no reader likes, but signed", s.fill(t, bytes.Replace(emptied(file), []byte("startxref"), []byte("startXref"), 1), ""), SignatureValid},
		{"valid", file, SignatureValid},
		{"no signature", plainPDF(), SignatureAbsent},
		{"changed before the signature", flip(bytes.Index(file, []byte("300 200"))), SignatureInvalid},
		{"changed behind the signature", flip(bytes.Index(file, []byte("0000000000 65535"))), SignatureInvalid},
		{"signature of other bytes", other, SignatureInvalid},
		{"something appended", append(bytes.Clone(file), "1 0 obj\nnull\nendobj\nstartxref\n9\n%%EOF\n"...), SignatureUnverifiable},
		{"signature that is not the certificate's", forged(t, file), SignatureInvalid},
		{"contents that are no hex", bytes.Replace(file, file[contents:contents+4], []byte("zzzz"), 1), SignatureUnverifiable},
		{"contents that are empty", bytes.Replace(file, file[contents:contents+contentsDigits], bytes.Repeat([]byte("0"), contentsDigits), 1), SignatureUnverifiable},
		{"contents that are no CMS", bytes.Replace(file, file[contents:contents+4], []byte("0402"), 1), SignatureUnverifiable},
		{"of an old kind", s.signed(t, "adbe.x509.rsa_sha1"), SignatureUnverifiable},
		{"of an unknown kind", s.signed(t, "Acme.New"), SignatureUnverifiable},
		{"with a range that is no range", bytes.Replace(file, []byte("/ByteRange ["), []byte("/ByteRange <"), 1), SignatureAbsent},
		{"with a name that is none", bytes.Replace(file, []byte("/Contents <"), []byte("/Kontents <"), 1), SignatureAbsent},
		{"in words of a text only", bytes.Replace(plainPDF(), []byte("/Type /Page "), []byte("/ByteRange [0 10 20 30] /Type /Page "), 1), SignatureAbsent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			fake.report = pdfAnswer(tc.file)
			r, err := fake.client(t).Report(context.Background(), nil, testRef, "")
			if err != nil {
				t.Fatal(err)
			}
			if r.Signature != tc.want || (r.Detail == "") != (tc.want == SignatureValid) {
				t.Errorf("%s (%s), want %s", r.Signature, r.Detail, tc.want)
			}
			if !bytes.Equal(r.Bytes, tc.file) {
				t.Error("bytes are not those that came")
			}
		})
	}
}

// forged changes the last byte of the CMS structure, which is the signature's.
func forged(t *testing.T, file []byte) []byte {
	t.Helper()
	file = bytes.Clone(file)
	at := bytes.Index(file, []byte("/Contents <")) + len("/Contents <")
	head, err := hex.DecodeString(string(file[at : at+8]))
	if err != nil || head[0] != 0x30 || head[1] != 0x82 {
		t.Fatalf("CMS begins with %x, %v", head, err)
	}
	last := at + 2*(4+(int(head[2])<<8|int(head[3]))) - 1
	if file[last] == '0' {
		file[last] = '1'
	} else {
		file[last] = '0'
	}
	return file
}

// emptied takes the signature out of a file again.
func emptied(file []byte) []byte {
	file = bytes.Clone(file)
	at := bytes.Index(file, []byte("/Contents <")) + len("/Contents <")
	copy(file[at:], strings.Repeat("0", contentsDigits))
	at = bytes.Index(file, []byte("/ByteRange ")) + len("/ByteRange ")
	copy(file[at:], emptyRange)
	return file
}

// A signature that does not bind its certificate by a CAdES attribute is still
// one whose digest verifies.
func TestPAdESSignature(t *testing.T) {
	r, err := checkReport(newSigner(t).signed(t, "ETSI.CAdES.detached"))
	if err != nil || r.Signature != SignatureValid {
		t.Errorf("%s (%s), %v", r.Signature, r.Detail, err)
	}
}

func TestAPDFCutAnywhereIsInvalid(t *testing.T) {
	file := newSigner(t).signed(t, "adbe.pkcs7.detached")
	for n := range len(file) {
		if r, err := checkReport(file[:n]); err == nil {
			t.Fatalf("%d of %d bytes pass as %s", n, len(file), r.Signature)
		}
	}
	// Without a signature nothing announces the line's end behind the mark.
	plain := plainPDF()
	for n := range len(plain) - 1 {
		if _, err := checkReport(plain[:n]); err == nil {
			t.Fatalf("%d of %d bytes pass", n, len(plain))
		}
	}
}

func TestAPDFWithAHoleIsFound(t *testing.T) {
	file := newSigner(t).signed(t, "adbe.pkcs7.detached")
	for from := 20; from+100 < len(file)-200; from += 97 {
		r, err := checkReport(append(bytes.Clone(file[:from]), file[from+100:]...))
		if err == nil && r.Signature == SignatureValid {
			t.Fatalf("100 bytes missing at %d pass", from)
		}
	}
}

func TestWhatIsNoPDF(t *testing.T) {
	plain := string(plainPDF())
	for name, file := range map[string]string{
		"html":                "<html>%PDF- %%EOF</html>",
		"json":                `{"status":"IN_PROGRESS"}`,
		"only a head":         "%PDF-1.7\n",
		"head and end":        "%PDF-1.7\n%%EOF\n",
		"junk before":         "\n" + plain,
		"junk behind":         plain + "<!-- cached -->",
		"no startxref":        strings.Replace(plain, "startxref", "startxxxx", 1),
		"startxref no number": strings.Replace(plain, "startxref\n", "startxref\nx", 1),
		"startxref beyond":    strings.Replace(plain, "startxref\n", "startxref\n9", 1),
		"startxref negative":  strings.Replace(plain, "startxref\n", "startxref\n-", 1),
	} {
		if _, err := checkReport([]byte(file)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	for _, end := range []string{"", "\n", "\r\n", "\r\n\r\n  \x00"} {
		if _, err := checkReport([]byte(strings.TrimSuffix(plain, "\n") + end)); err != nil {
			t.Errorf("end %q: %v", end, err)
		}
	}
}

// spliced puts a CMS into a file made for another one, whose digest then does
// not fit: what matters is how verification ends.
func spliced(t *testing.T, file, cms []byte) []byte {
	t.Helper()
	f := bytes.Clone(file)
	at := bytes.Index(f, []byte("/Contents <")) + len("/Contents <")
	digits := hex.EncodeToString(cms)
	if len(digits) > contentsDigits {
		t.Fatalf("%d digits", len(digits))
	}
	copy(f[at:], digits+strings.Repeat("0", contentsDigits-len(digits)))
	return f
}

func TestHostileSignaturesAreBounded(t *testing.T) {
	file := newSigner(t).signed(t, "adbe.pkcs7.detached")
	deepIndefinite := bytes.Repeat([]byte{0x30, 0x80}, contentsDigits/4)
	var deep []byte
	for range 100 {
		deep = append([]byte{0x30, 0x82, byte(len(deep) >> 8), byte(len(deep))}, deep...)
	}
	for name, cms := range map[string][]byte{
		"deep, indefinite": deepIndefinite,
		"deep, definite":   deep,
		"length beyond":    {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff},
		"length overflow":  {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"end marks":        bytes.Repeat([]byte{0x30, 0x80, 0, 0}, 100),
		"endless tag":      append([]byte{0x3f}, bytes.Repeat([]byte{0xff}, 1000)...),
	} {
		started := time.Now()
		r, err := checkReport(spliced(t, file, cms))
		if err != nil || r.Signature != SignatureUnverifiable {
			t.Errorf("%s: %s (%s), %v", name, r.Signature, r.Detail, err)
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func TestAGiantKeyIsNotTried(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "giant"}, NotAfter: time.Now().Add(time.Hour)}
	giant := &rsa.PublicKey{N: new(big.Int).Lsh(key.N, 10000), E: key.E}
	giant.N.SetBit(giant.N, 0, 1)
	der, err := x509.CreateCertificate(rand.Reader, template, template, giant, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sd, err := pkcs7.NewSignedData([]byte("anything"))
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSigner(cert, key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	sd.Detach()
	cms, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r, err := checkReport(spliced(t, newSigner(t).signed(t, "adbe.pkcs7.detached"), cms))
	if err != nil || r.Signature != SignatureUnverifiable || !strings.Contains(r.Detail, "too large") {
		t.Errorf("%s (%s), %v", r.Signature, r.Detail, err)
	}
}

func TestEndlessByteRangesAreNotTried(t *testing.T) {
	plain := plainPDF()
	at := bytes.Index(plain, []byte("xref\n"))
	var big bytes.Buffer
	big.Write(plain[:at])
	for range 1 << 18 {
		big.WriteString("/ByteRange [0 10 20 9]")
	}
	big.Write(plain[at:])
	started := time.Now()
	if r, err := checkReport(big.Bytes()); err != nil || r.Signature != SignatureUnverifiable {
		t.Errorf("%s, %v", r.Signature, err)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

// Other users of pdfcpu find a new directory in their home.
func TestVerificationWritesNoFiles(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	if _, err := checkReport(newSigner(t).signed(t, "adbe.pkcs7.detached")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) != 0 {
		t.Errorf("home holds %v, %v", entries, err)
	}
}

func TestReadRange(t *testing.T) {
	for text, want := range map[string]string{
		"[0 1 2 3]": "[0 1 2 3]", " \n[ 0\r\n1\t2  3 ]": "[0 1 2 3]", "[0 1 2 3] [": "[0 1 2 3]",
		"[0 1 2]": "", "[0 1 2 3 4]": "", "[0 1 2 -3]": "", "[0 1 2 3": "", "0 1 2 3]": "", "": "",
		"[0 1 2 99999999999999999999]": "", "[0 1 2 3.0]": "", "[5 0 R 2 3]": "",
	} {
		v, ok := readRange([]byte(text))
		if ok != (want != "") || ok && fmt.Sprint(v) != want {
			t.Errorf("%q: %v, %t", text, v, ok)
		}
	}
}
