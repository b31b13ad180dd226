package apiclient

import (
	"errors"
	"fmt"
)

// maxLinkBytes bounds a link; presigned ones have about 1 KiB.
const maxLinkBytes = 8 << 10

// entityTarget says where an entity is fetched: from the link of the session
// information, resolved against the address of that call, or from the path of
// the profile if there is none.
//
// The token goes to the API's own origin. A link elsewhere is refused unless
// the profile lists its origin, because whoever could write a link into an
// answer could otherwise collect tokens.
func (c *Client) entityTarget(e endpoints, ref Ref, link, path string) (target, error) {
	if link == "" {
		return c.sessionTarget(e, ref, path)
	}
	session, err := c.sessionTarget(e, ref, c.profile.Paths.Session)
	if err != nil {
		return target{}, err
	}
	if len(link) > maxLinkBytes {
		return target{}, errors.New("link is too long")
	}
	u, err := session.url.Parse(link)
	if err != nil || u.Host == "" {
		return target{}, errors.New("link is not a URL")
	}
	if u.User != nil {
		return target{}, errors.New("link holds a user")
	}
	u.Fragment, u.RawFragment = "", ""
	if origin(u) == origin(e.base) {
		return target{url: u, token: true}, nil
	}
	for _, a := range c.profile.Links.AllowedOrigins {
		if allowed, err := parseEndpoint(a.Origin, false); err == nil && origin(allowed) == origin(u) {
			return target{url: u, token: a.SendToken}, nil
		}
	}
	return target{}, fmt.Errorf("link to foreign origin %s", shownOrigin(u))
}
