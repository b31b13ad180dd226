package amlsim

import (
	"fmt"
	"math/rand/v2"
)

// facts is all that the simulated sources know about a person, ordered or not.
type facts struct {
	query
	gender        string
	citizenship   string
	birthplace    string
	historicNames []string
	postal        *address
	national      *address
	historic      []address
	residents     int
	house         string
	roles         []role
	aml           screening
}

type address struct{ street, postcode, city, registered string }

type role struct{ name, organization, number, since string }

// factsAbout returns what is known: by heart for the documented test people,
// else drawn from the person alone, so that every query finds the same.
func (s *Simulator) factsAbout(q query, person personKey) facts {
	if f, ok := testPerson(q); ok {
		return f
	}
	return invent(q, stream(drawFacts, uint64(person)), s.cfg.Mix)
}

// Streets that exist nowhere, and places that do.
func streets() []string {
	return []string{"Testveien", "Prøvegata", "Eksempelbakken", "Simulatorvegen", "Attrappallmenningen", "Øvingsstien"}
}

func places() [][2]string {
	return [][2]string{{"0101", "OSLO"}, {"5003", "BERGEN"}, {"7010", "TRONDHEIM"}, {"4006", "STAVANGER"}, {"9008", "TROMSØ"}, {"3080", "HOLMESTRAND"}, {"6002", "ÅLESUND"}}
}

func houses() []string {
	return []string{"DetachedHouse", "Duplex", "Terraced", "Apartment", "OfficePublicStudentHouseOrOthers", "Other"}
}

// invent draws the facts about a person. The order of draws must stay as it is,
// or everybody becomes somebody else.
func invent(q query, draw *rand.Rand, mix Mix) facts {
	home := inventAddress(draw)
	f := facts{
		query: q, gender: inventGender(q, draw), citizenship: "NO",
		birthplace: places()[draw.IntN(len(places()))][1],
		postal:     &home, national: &home,
		residents: 1 + draw.IntN(5), house: houses()[draw.IntN(len(houses()))],
	}
	if draw.IntN(8) == 0 {
		f.citizenship = []string{"SE", "DK", "FI", "PL", "LT", "GB"}[draw.IntN(6)]
	}
	if draw.IntN(6) == 0 {
		f.historicNames = []string{q.firstName + " Tidligere-" + q.lastName}
	}
	for range draw.IntN(3) {
		f.historic = append(f.historic, inventAddress(draw))
	}
	switch draw.IntN(40) {
	case 0: // the registry's source was down, or knows nobody
		f.national, f.citizenship = nil, ""
	case 1:
		f.postal = nil
	}
	for range max(0, draw.IntN(6)-3) {
		f.roles = append(f.roles, inventRole(draw))
	}
	f.aml = inventScreening(q, draw, mix)
	return f
}

func inventAddress(draw *rand.Rand) address {
	place := places()[draw.IntN(len(places()))]
	return address{
		street:   fmt.Sprintf("%s %d", streets()[draw.IntN(len(streets()))], 1+draw.IntN(120)),
		postcode: place[0], city: place[1],
		registered: inventDate(draw, 2001, 2025) + "T00:00:00",
	}
}

func inventDate(draw *rand.Rand, first, last int) string {
	return fmt.Sprintf("%04d-%02d-%02d", first+draw.IntN(last-first+1), 1+draw.IntN(12), 1+draw.IntN(28))
}

// inventGender follows a Norwegian number, whose ninth digit is even for women.
func inventGender(q query, draw *rand.Rand) string {
	odd := draw.IntN(2)
	if q.ssnCountry == "NO" && len(q.ssn) == 11 {
		odd = int(q.ssn[8]-'0') % 2
	}
	return []string{"Female", "Male"}[odd]
}

func inventRole(draw *rand.Rand) role {
	// Organizations of the Norwegian test registries begin with 2 or 3; none exists.
	number := fmt.Sprintf("31%06d", draw.IntN(1_000_000))
	return role{
		// The last is one that no documentation lists: the enumeration is open.
		name:         []string{"CHAIR", "BOARD_MEMBER", "DEPUTY", "MANAGING_DIRECTOR", "OBSERVER", "X_COMMUNITY_STEWARD"}[draw.IntN(6)],
		organization: fmt.Sprintf("Attrapp %d AS", 100+draw.IntN(900)),
		number:       number + fmt.Sprint(draw.IntN(10)),
		since:        inventDate(draw, 2005, 2025),
	}
}
