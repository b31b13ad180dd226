package apiclient

import (
	"bytes"
	"context"
)

// Report is the PDF as the API sent it.
type Report struct {
	Bytes     []byte
	Signature SignatureCheck
	Detail    string // why the signature is not valid, in words; "" if it is
}

// Report fetches the PDF report of a session, from link if the session gave
// one. A PDF that is cut short or none is Invalid; one without a signature, or
// with a bad one, is returned and says so: it was paid for.
//
// Errors: NotReady, Gone, Throttled, Denied, Misconfigured (also a link to a
// foreign origin), Unavailable, Invalid, Refused, NotSent.
func (c *Client) Report(ctx context.Context, admit Admit, ref Ref, link string) (Report, error) {
	var r Report
	got, err := c.get(ctx, getCall{
		op:     "fetch report",
		call:   CallReport,
		admit:  admit,
		locate: func(e endpoints) (target, error) { return c.entityTarget(e, ref, link, c.profile.Paths.Report) },
		accept: "application/pdf",
		limit:  maxReportBytes,
		check: func(body []byte) (err error) {
			r, err = checkReport(body)
			return err
		},
		whole: true,
	})
	if err != nil {
		return Report{}, err
	}
	r.Bytes = got.body // what was checked was on loan
	return r, nil
}

// checkReport checks a PDF's structure and signature. Its error says that data
// is no PDF, or not the whole of one.
func checkReport(data []byte) (Report, error) {
	if !bytes.HasPrefix(data, []byte("%PDF-")) {
		return Report{}, errNotPDF
	}
	check, detail, err := checkSignature(data)
	if err != nil {
		return Report{}, err
	}
	// A valid signature covers the last byte: whatever the end looks like, it
	// is the one that was signed.
	if check != SignatureValid {
		if err := checkPDFEnd(data); err != nil {
			return Report{}, err
		}
	}
	return Report{Bytes: data, Signature: check, Detail: detail}, nil
}
