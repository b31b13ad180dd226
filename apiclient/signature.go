package apiclient

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/pkcs7"
)

// SignatureCheck says what the signature in a report is worth. Even "valid"
// speaks only of the bytes: that they are those which the holder of the
// enclosed certificate signed. Whether to trust that certificate cannot be
// known offline; its issuer is not documented.
type SignatureCheck string

// The results of a check.
const (
	SignatureValid   SignatureCheck = "valid"   // covers the whole file, and the digest and signature verify
	SignatureInvalid SignatureCheck = "invalid" // the file was changed, or the signature is not the certificate's
	SignatureAbsent  SignatureCheck = "absent"  // a PDF without a signature
	// SignatureUnverifiable: of a kind we cannot verify, malformed, or for a
	// part of the file only.
	SignatureUnverifiable SignatureCheck = "unverifiable"
)

// Bounds of a signature, against ones made to be slow to verify. Real ones
// carry a handful of certificates and keys of 2048 to 4096 bits.
const (
	maxSignatures      = 8 // in one file, each of which has it hashed
	maxSignatureDepth  = 40
	maxSigners         = 4
	maxRSABits         = 8192
	maxSignatureSource = 256 << 10 // bytes of CMS
)

// checkSignature verifies all signatures of a file: a seal, and perhaps the
// archive timestamps that were added to it later. It is valid if each of them
// is and one covers the whole file. The error says that the file is cut short;
// detail says why a signature is not valid.
//
// Of pdfcpu only the CMS package is used. Its document-level check
// (api.ValidateSignatures) would first parse, unpack and optimise a file from
// elsewhere without any bound in time, and reads certificates from a directory
// that it creates in the user's home. The CMS package does neither, and no
// network access.
func checkSignature(data []byte) (check SignatureCheck, detail string, err error) {
	found, all, err := findSignatures(data)
	switch {
	case err != nil:
		return "", "", err
	case !all || len(found) > maxSignatures:
		return SignatureUnverifiable, "too many signatures", nil
	case len(found) == 0:
		return SignatureAbsent, "no signature dictionary", nil
	}
	check, detail = SignatureUnverifiable, "no signature covers the end of the file"
	for _, r := range found {
		if r.end == int64(len(data)) {
			check, detail = SignatureValid, ""
		}
	}
	for _, r := range found {
		switch one, why := verifySignature(data, r); one {
		case SignatureValid:
		case SignatureInvalid:
			return one, why, nil
		default:
			check, detail = one, why
		}
	}
	return check, detail, nil
}

// verifySignature verifies digest and signature of one signature over the
// bytes it covers.
//
// A panic of the parser counts as "cannot be verified". It is the one recover
// of the program: the input is foreign, the parser is pure, and a crash would
// come back with every redelivery.
func verifySignature(data []byte, r *signedRange) (check SignatureCheck, detail string) {
	defer func() {
		if recover() != nil {
			check, detail = SignatureUnverifiable, "signature cannot be parsed"
		}
	}()
	cms, ok := decodeContents(r.contents)
	if !ok {
		return SignatureUnverifiable, "signature is not a bounded CMS structure"
	}
	p7, err := pkcs7.Parse(cms)
	if err != nil {
		return SignatureUnverifiable, "signature cannot be parsed"
	}
	if len(p7.Signers) == 0 || len(p7.Signers) > maxSigners {
		return SignatureUnverifiable, "signature has no or too many signers"
	}
	signed := slices.Concat(data[:r.before], data[r.after:r.end])
	switch r.subFilter {
	case "adbe.pkcs7.detached", "ETSI.CAdES.detached":
		if len(p7.Content) > 0 {
			return SignatureUnverifiable, "signature is not detached"
		}
	case "ETSI.RFC3161":
		if err := checkImprint(p7, signed); err != nil {
			return judgeSignatureError(err)
		}
		signed = p7.Content
	default:
		return SignatureUnverifiable, "signature is of an unsupported kind"
	}
	for _, signer := range p7.Signers {
		cert, err := pkcs7.GetCertFromCertsByIssuerAndSerial(p7.Certificates, signer.IssuerAndSerialNumber)
		if err != nil || cert == nil {
			return SignatureUnverifiable, "certificate of the signer is not enclosed"
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return SignatureUnverifiable, "key of the signer is too large"
		}
		if err := pkcs7.CheckSignatureWithContentType(cert, signer, signed, p7.ContentType); err != nil {
			return judgeSignatureError(err)
		}
	}
	return SignatureValid, ""
}

// checkImprint checks that a document timestamp (RFC 3161) is of these bytes.
func checkImprint(p7 *pkcs7.PKCS7, signed []byte) error {
	var info struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
	}
	if _, err := asn1.Unmarshal(p7.Content, &info); err != nil {
		return err
	}
	return pkcs7.VerifyMessageDigestTSToken(info.Imprint.Algorithm.Algorithm, info.Imprint.Digest, signed)
}

// decodeContents decodes the hex digits, whose tail is padding.
func decodeContents(digits []byte) ([]byte, bool) {
	digits = bytes.Join(bytes.Fields(digits), nil)
	if len(digits)%2 == 1 {
		digits = append(digits, '0') // PDF: a missing last digit is zero
	}
	cms := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(cms, digits); err != nil {
		return nil, false
	}
	if significant := bytes.TrimRight(cms, "\x00"); len(significant) == 0 || len(significant) > maxSignatureSource {
		return nil, false
	}
	return cms, !nestsDeep(cms)
}

func judgeSignatureError(err error) (SignatureCheck, string) {
	var digest *pkcs7.MessageDigestMismatchError
	var weak x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &digest):
		return SignatureInvalid, "file was changed after it was signed"
	case errors.As(err, &weak):
		return SignatureUnverifiable, "signature uses an insecure algorithm"
	case errors.Is(err, pkcs7.ErrSignatureMismatch):
		return SignatureInvalid, "signature is not of the enclosed certificate"
	}
	return SignatureUnverifiable, "signature is malformed or of an unsupported algorithm"
}

// nestsDeep reports whether BER data nests deeper than CMS ever does. The
// parser recurses and copies on each level.
func nestsDeep(ber []byte) bool {
	var ends []int // where the open values end; -1: at an end mark
	for at := 0; at < len(ber); {
		for len(ends) > 0 && ends[len(ends)-1] >= 0 && at >= ends[len(ends)-1] {
			ends = ends[:len(ends)-1]
		}
		if len(ends) == 0 && at > 0 {
			return false // the first value has ended, the rest is padding
		}
		if open := len(ends); open > 0 && ends[open-1] < 0 && at+1 < len(ber) && ber[at] == 0 && ber[at+1] == 0 {
			ends = ends[:open-1]
			at += 2
			continue
		}
		constructed := ber[at]&0x20 != 0
		next, end, ok := berHeader(ber, at)
		if !ok || !constructed && end < 0 {
			return false // the parser refuses it as well
		}
		if !constructed {
			at = end
			continue
		}
		if ends = append(ends, end); len(ends) > maxSignatureDepth {
			return true
		}
		at = next
	}
	return false
}

// berHeader reads tag and length at ber[at:]: where the content begins and
// ends, -1 for an indefinite length.
func berHeader(ber []byte, at int) (content, end int, ok bool) {
	if ber[at]&0x1f == 0x1f {
		for at++; at < len(ber) && ber[at] >= 0x80; at++ {
		}
	}
	at++
	if at >= len(ber) {
		return 0, 0, false
	}
	length := int(ber[at])
	at++
	switch {
	case length == 0x80:
		return at, -1, true
	case length > 0x80:
		n := length & 0x7f
		if n > 4 || at+n > len(ber) {
			return 0, 0, false
		}
		length = 0
		for _, b := range ber[at : at+n] {
			length = length<<8 | int(b)
		}
		at += n
	}
	if length < 0 || length > len(ber)-at {
		return 0, 0, false
	}
	return at, at + length, true
}
