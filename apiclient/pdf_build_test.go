package apiclient

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// plainPDF is a small PDF without a signature.
func plainPDF() []byte {
	return pdfFile([]string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] >>",
	})
}

// pdfFile writes objects, their index and the end.
func pdfFile(objects []string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return b.Bytes()
}

// signer signs PDFs with a certificate of its own.
type signer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newSigner(t testing.TB) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "test seal"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, cert}
}

const contentsDigits = 8192

// signed returns a PDF with a signature over the whole file.
func (s signer) signed(t testing.TB, subFilter string) []byte {
	t.Helper()
	return s.fill(t, pdfFile([]string{
		"<< /Type /Catalog /Pages 2 0 R /AcroForm << /SigFlags 3 /Fields [4 0 R] >> >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Annots [4 0 R] >>",
		"<< /Type /Annot /Subtype /Widget /FT /Sig /T (seal) /Rect [0 0 0 0] /P 3 0 R /V 5 0 R >>",
		emptySignature("Sig", subFilter),
	}), subFilter)
}

// update appends a revision that holds one more signature.
func (s signer) update(t testing.TB, file []byte, subFilter string) []byte {
	t.Helper()
	b := bytes.NewBuffer(bytes.Clone(file))
	at := b.Len()
	fmt.Fprintf(b, "6 0 obj\n%s\nendobj\n", emptySignature("DocTimeStamp", subFilter))
	start := b.Len()
	fmt.Fprintf(b, "xref\n6 1\n%010d 00000 n \ntrailer\n<< /Size 7 /Root 1 0 R /Prev 9 >>\nstartxref\n%d\n%%%%EOF\n", at, start)
	return s.fill(t, b.Bytes(), subFilter)
}

const emptyRange = "[0000000000 0000000000 0000000000 0000000000]"

func emptySignature(kind, subFilter string) string {
	return "<< /Type /" + kind + " /Filter /Adobe.PPKLite /SubFilter /" + subFilter + "\n/ByteRange " + emptyRange +
		"\n/Contents <" + strings.Repeat("0", contentsDigits) + ">\n>>"
}

// fill signs a file and puts the signature into its last, empty place.
func (s signer) fill(t testing.TB, file []byte, subFilter string) []byte {
	t.Helper()
	from := bytes.LastIndex(file, []byte("/Contents <")) + len("/Contents ")
	to := from + contentsDigits + 2
	byteRange := fmt.Sprintf("[%010d %010d %010d %010d]", 0, from, to, len(file)-to)
	file = bytes.Replace(file, []byte(emptyRange), []byte(byteRange), 1)
	signed := append(bytes.Clone(file[:from]), file[to:]...)
	cms := s.cms(t, signed, true)
	if subFilter == "ETSI.RFC3161" {
		cms = s.timestamp(t, signed)
	}
	copy(file[from+1:], hex.EncodeToString(cms))
	return file
}

// cms signs data, which is enclosed unless detached.
func (s signer) cms(t testing.TB, data []byte, detached bool) []byte {
	t.Helper()
	sd, err := pkcs7.NewSignedData(data)
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if !detached { // a timestamp token
		sd.GetSignedData().ContentInfo.ContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	}
	if err := sd.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	if detached {
		sd.Detach()
	}
	cms, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return cms
}

// timestamp returns a timestamp token (RFC 3161) for data.
func (s signer) timestamp(t testing.TB, data []byte) []byte {
	t.Helper()
	type imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	sum := sha256.Sum256(data)
	info, err := asn1.Marshal(struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint imprint
		Serial  int
		Time    time.Time `asn1:"generalized"`
	}{1, asn1.ObjectIdentifier{1, 2, 3}, imprint{pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDDigestAlgorithmSHA256}, sum[:]}, 9,
		time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return s.cms(t, info, false)
}
