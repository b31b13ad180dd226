package apiclient

import (
	"context"
	"encoding/json"
	"net/url"
)

// AccessRights asks which access the organization has to the National
// Registry. The answer's form is not documented: raw is the JSON as sent, and
// granted the boolean at the profile's path, nil if there is none.
//
// Errors: Throttled, Denied, Misconfigured, Unavailable, Invalid, Refused.
func (c *Client) AccessRights(ctx context.Context) (raw []byte, granted *bool, err error) {
	const op = "read access rights"
	got, err := c.get(ctx, getCall{
		op:   op,
		call: CallAccessRights,
		locate: func(e endpoints) (target, error) {
			u, err := url.Parse(e.base.String() + c.profile.Paths.AccessRights)
			return target{url: u, token: true}, err
		},
		accept: "application/json",
		limit:  maxSmallJSONBytes,
		plain:  true,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := checkJSON(got.body); err != nil {
		return nil, nil, &Error{Op: op, Kind: Invalid, Status: got.status, RequestID: got.requestID, Err: err}
	}
	if json.Unmarshal(lookup(got.body, c.profile.Access.Granted), &granted) != nil {
		granted = nil
	}
	return got.body, granted, nil
}
