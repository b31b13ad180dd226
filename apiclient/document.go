package apiclient

import "context"

// Document fetches the JSON document of a session, from link if the session
// gave one. The bytes are those the API sent (decompressed), one JSON object.
//
// Errors: NotReady, Gone, Throttled, Denied, Misconfigured, Unavailable,
// Invalid, Refused, NotSent.
func (c *Client) Document(ctx context.Context, admit Admit, ref Ref, link string) ([]byte, error) {
	got, err := c.get(ctx, getCall{
		op:     "fetch document",
		call:   CallDocument,
		admit:  admit,
		locate: func(e endpoints) (target, error) { return c.entityTarget(e, ref, link, c.profile.Paths.Document) },
		accept: "application/json",
		limit:  maxDocumentBytes,
		check:  checkObject,
	})
	return got.body, err
}

var errNotObject = &answerError{"answer is not a JSON object"}

// checkObject reports whether data is one JSON object that may be decoded.
func checkObject(data []byte) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{':
			return nil
		default:
			return errNotObject
		}
	}
	return errNotObject
}
