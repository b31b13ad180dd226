package amlsim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/smallstep/pkcs7"
)

// signer signs reports with a key that exists as long as the simulator, and a
// certificate that nobody trusts.
type signer struct {
	key         repeatableKey
	certificate *x509.Certificate
}

func newSigner(now time.Time) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("report key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "rescreen simulator, worth nothing", Organization: []string{"rescreen amlsim"}},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("report certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("report certificate: %w", err)
	}
	return &signer{key: repeatableKey{key}, certificate: certificate}, nil
}

// repeatableKey signs the same digest with the same signature (RFC 6979, which
// crypto/ecdsa follows when it is given no randomness), so that a report that
// is fetched twice is the same file, as one that lies in a store would be.
type repeatableKey struct{ *ecdsa.PrivateKey }

func (k repeatableKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, opts)
}

// Object identifiers of RFC 5035 and RFC 5652.
func oidSigningCertificateV2() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
}

// signingCertificateV2 binds the signature to the certificate, as the baseline
// profile of PAdES demands; SHA-256 is its default and not written.
type signingCertificateV2 struct {
	Certs []essCertIDv2
}

type essCertIDv2 struct{ CertHash []byte }

// sign returns a detached CMS signature over the pieces, one after the other.
func (s *signer) sign(pieces ...[]byte) ([]byte, error) {
	signed, err := pkcs7.NewSignedData(bytes.Join(pieces, nil))
	if err != nil {
		return nil, fmt.Errorf("report signature: %w", err)
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	hash := sha256.Sum256(s.certificate.Raw)
	err = signed.AddSigner(s.certificate, s.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: []pkcs7.Attribute{
		{Type: oidSigningCertificateV2(), Value: signingCertificateV2{Certs: []essCertIDv2{{CertHash: hash[:]}}}},
	}})
	if err != nil {
		return nil, fmt.Errorf("report signature: %w", err)
	}
	// The library adds the time of the wall clock, which this profile forbids
	// (the time stands in /M), and which would make every fetch another file.
	// So the attribute goes, and what is left is signed again.
	info := &signed.GetSignedData().SignerInfos[0]
	kept := info.AuthenticatedAttributes[:0]
	for _, attribute := range info.AuthenticatedAttributes {
		if !attribute.Type.Equal(pkcs7.OIDAttributeSigningTime) {
			kept = append(kept, attribute)
		}
	}
	info.AuthenticatedAttributes = kept
	set, err := asn1.MarshalWithParams(kept, "set")
	if err != nil {
		return nil, fmt.Errorf("report signature: %w", err)
	}
	digest := sha256.Sum256(set)
	if info.EncryptedDigest, err = s.key.Sign(nil, digest[:], crypto.SHA256); err != nil {
		return nil, fmt.Errorf("report signature: %w", err)
	}
	signed.Detach()
	return signed.Finish()
}
