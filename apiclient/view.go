package apiclient

import (
	"encoding/json"
	"math"
	"strings"

	"rescreen/apiclient/personal"
)

// View is a typed look at a result document. Every part may be missing, and
// missing means exactly that: what the API leaves out it may not have asked,
// not have found or not have been allowed to see. Members the view does not
// know, or that have another type than expected, are left out of it; the
// document itself is the evidence.
//
// Only the outcome of the AML search is read by the profile's names; the rest
// serves people, not decisions.
type View struct {
	KeyInformation *KeyInformation
	Identity       *Identity
	Address        *Address
	AML            *AML
	Roles          []personal.Text // each role as JSON, its form is not documented; nil if missing

	screening Screening
}

// KeyInformation is what the National Registry says about the person.
type KeyInformation struct {
	Name, FirstName, LastName, SSN, DateOfBirth, Gender *personal.Text
	Citizenship                                         []personal.Text // texts only; nil if missing
}

// Identity comes from a BankID certificate; sessions do not offer it yet.
type Identity struct {
	FullName, SSN, Originator, SerialNumber *personal.Text
}

// Address holds the addresses of the person.
type Address struct {
	Postal, National *PostalAddress
	Historic         []PostalAddress // nil if missing
}

// PostalAddress is one address.
type PostalAddress struct {
	Address, PostalCode, City, Country *personal.Text
	PersonStatus, AddressStatus        *personal.Text
	NumberOfResidents                  *int
}

// AML is the answer of the PEP and sanction search.
type AML struct {
	Status, StatusMessage *personal.Text
	PEP, Sanctions        []Hit    // nil if missing or no list
	Lists                 []string // searched; nil if missing
}

// Hit is one entry of a PEP or sanction list that may be the person.
type Hit struct {
	MatchIndicator *int     // up to 500; 500 is a match of the national id
	NameMatchValue *float64 // 0 to 1
	Name           *personal.Text
	BirthDate      *personal.Text
	Comment        *personal.Text
	Source         *string // the list, free text
}

// View reads a document under the client's profile.
func (c *Client) View(data []byte) (View, error) { return c.profile.ViewDocument(data) }

// ViewDocument reads a document. Its only errors are those of bytes that are
// not one JSON object of sane depth.
func (p Profile) ViewDocument(data []byte) (View, error) {
	if err := checkObject(data); err != nil {
		return View{}, err
	}
	members, ok := asObject(data)
	if !ok {
		return View{}, errNotObject
	}
	v := View{
		KeyInformation: viewKeyInformation(members["keyInformation"]),
		Identity:       viewIdentity(members["identity"]),
		Address:        viewAddress(members["address"]),
	}
	if roles, ok := asList(members["roles"]); ok {
		v.Roles = make([]personal.Text, 0, len(roles))
		for _, role := range roles {
			v.Roles = append(v.Roles, personal.Text(role))
		}
	}
	v.AML = p.Document.viewAML(members[p.Document.AML])
	v.screening = p.Document.screen(members[p.Document.AML])
	return v, nil
}

// Screening returns what the document says about hits.
func (v View) Screening() Screening { return v.screening }

func viewKeyInformation(raw json.RawMessage) *KeyInformation {
	m, ok := asObject(raw)
	if !ok {
		return nil
	}
	return &KeyInformation{
		Name: text(m["name"]), FirstName: text(m["firstName"]), LastName: text(m["lastName"]),
		SSN: text(m["ssn"]), DateOfBirth: text(m["dateOfBirth"]), Gender: text(m["gender"]),
		Citizenship: texts(m["citizenship"]),
	}
}

func viewIdentity(raw json.RawMessage) *Identity {
	m, ok := asObject(raw)
	if !ok {
		return nil
	}
	return &Identity{
		FullName: text(m["fullName"]), SSN: text(m["ssn"]),
		Originator: text(m["originator"]), SerialNumber: text(m["serialNumber"]),
	}
}

func viewAddress(raw json.RawMessage) *Address {
	m, ok := asObject(raw)
	if !ok {
		return nil
	}
	a := &Address{Postal: viewPostal(m["postal"]), National: viewPostal(m["national"])}
	if items, ok := asList(m["historic"]); ok {
		a.Historic = []PostalAddress{}
		for _, item := range items {
			if p := viewPostal(item); p != nil {
				a.Historic = append(a.Historic, *p)
			}
		}
	}
	return a
}

func viewPostal(raw json.RawMessage) *PostalAddress {
	m, ok := asObject(raw)
	if !ok {
		return nil
	}
	p := &PostalAddress{
		Address: text(m["address"]), PostalCode: text(m["postalcode"]), City: text(m["city"]), Country: text(m["country"]),
		PersonStatus: text(m["personStatus"]), AddressStatus: text(m["addressStatus"]),
	}
	residents := m["numberOfResidents"]
	if inner, ok := asObject(residents); ok {
		residents = inner["residents"]
	}
	p.NumberOfResidents = whole(residents)
	return p
}

func (f Fields) viewAML(raw json.RawMessage) *AML {
	m, ok := asObject(raw)
	if !ok {
		return nil
	}
	return &AML{
		Status: text(m[f.Status]), StatusMessage: text(m[f.StatusMessage]),
		PEP: viewHits(m[f.PEPResults]), Sanctions: viewHits(m[f.SanctionResults]),
		Lists: listNames(m[f.Lists]),
	}
}

func viewHits(raw json.RawMessage) []Hit {
	items, ok := asList(raw)
	if !ok {
		return nil
	}
	hits := []Hit{}
	for _, item := range items {
		m, ok := asObject(item)
		if !ok {
			continue
		}
		h := Hit{
			MatchIndicator: whole(m["matchIndicator"]), NameMatchValue: number(m["nameMatchValue"]),
			Name: text(m["name"]), BirthDate: text(m["birthDate"]), Comment: text(m["comment"]),
		}
		if s, ok := asString(m["source"]); ok {
			h.Source = &s
		}
		hits = append(hits, h)
	}
	return hits
}

// listNames returns the texts of a list; nil if there is none, or if it holds
// things but no text: to call that empty would say that nothing was searched.
func listNames(raw json.RawMessage) []string {
	items, ok := asList(raw)
	if !ok {
		return nil
	}
	names := []string{}
	for _, item := range items {
		if s, ok := asString(item); ok && s != "" {
			names = append(names, s)
		}
	}
	if len(names) == 0 && len(items) > 0 {
		return nil
	}
	return names
}

func text(raw json.RawMessage) *personal.Text {
	s, ok := asString(raw)
	if !ok {
		return nil
	}
	t := personal.Text(s)
	return &t
}

// texts reads one text or a list of them.
func texts(raw json.RawMessage) []personal.Text {
	if s, ok := asString(raw); ok {
		return []personal.Text{personal.Text(s)}
	}
	names := listNames(raw)
	if names == nil {
		return nil
	}
	found := make([]personal.Text, 0, len(names))
	for _, name := range names {
		found = append(found, personal.Text(strings.TrimSpace(name)))
	}
	return found
}

func number(raw json.RawMessage) *float64 {
	var n *float64
	if json.Unmarshal(raw, &n) != nil {
		return nil
	}
	return n
}

func whole(raw json.RawMessage) *int {
	n := number(raw)
	if n == nil || *n != math.Trunc(*n) || math.Abs(*n) > math.MaxInt32 {
		return nil
	}
	i := int(*n)
	return &i
}
