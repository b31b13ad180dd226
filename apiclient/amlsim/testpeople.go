package amlsim

// testBirthday is the date of birth of all five, by their numbers.
const testBirthday = "2007-01-01"

// testPerson returns the facts about one of the five documented test people.
// The input must be exact, as the documentation says: the names, and the number
// or, without one, the date of birth.
func testPerson(q query) (facts, bool) {
	for _, p := range testPeople() {
		sameName := q.firstName == p.firstName && q.lastName == p.lastName
		switch {
		case !sameName || (q.dateOfBirth != "" && q.dateOfBirth != testBirthday):
			continue
		case q.ssn == p.ssn, q.ssn == "" && q.dateOfBirth == testBirthday:
			order := q
			p.query.ssnCountry = "NO"
			order.ssn, order.ssnCountry, order.dateOfBirth = p.ssn, "NO", testBirthday
			p.query = order
			return p, true
		}
	}
	return facts{}, false
}

func testPeople() []facts {
	home := func(street string) *address {
		return &address{street: street, postcode: "0101", city: "OSLO", registered: "2019-08-01T00:00:00"}
	}
	earlier := []address{
		{street: "Eksempelbakken 7", postcode: "5003", city: "BERGEN", registered: "2012-03-15T00:00:00"},
		{street: "Øvingsstien 12 A", postcode: "7010", city: "TRONDHEIM", registered: "2007-01-20T00:00:00"},
	}
	person := func(firstName, lastName, ssn, gender string) facts {
		return facts{
			query:  query{firstName: firstName, lastName: lastName, ssn: ssn},
			gender: gender, citizenship: "NO", birthplace: "OSLO",
		}
	}
	tomas := person("Tomas", "Topstad", "01010750160", "Male")
	tomas.postal, tomas.national, tomas.historic = home("Testveien 1"), home("Testveien 1"), earlier
	tomas.residents, tomas.house = 3, "Apartment"
	tomas.aml = hitsOfTomas()

	kari := person("Kari", "Klaven", "01010750241", "Female")
	kari.postal, kari.national, kari.historic = home("Prøvegata 2"), home("Prøvegata 2"), earlier
	kari.residents, kari.house = 2, "DetachedHouse"

	kris := person("Kris Psa", "Granum", "01010750322", "Male")
	kris.postal, kris.national = home("Simulatorvegen 3"), home("Simulatorvegen 3")
	kris.residents, kris.house = 1, "Terraced"
	kris.aml = hitsOfKris()

	morten := person("Morten", "Holm", "01010751388", "Male")
	morten.aml = screening{pep: []hit{{
		indicator: 500, match: "1.0", name: "Morten Holm", born: testBirthday, source: "PEP_Edge", id: "SIM-EXPIRED-1",
		function: "Deputy member of a simulated assembly", comment: "Expired: no longer active", updated: "2016-12-15T00:00:00",
	}}}

	mia := person("Mia", "Holm", "01010751469", "Female")
	mia.postal, mia.national = home("Testveien 5"), home("Testveien 5")
	mia.residents, mia.house = 4, "Duplex"
	mia.aml = screening{sanction: []hit{{
		indicator: 500, match: "1.0", name: "Mia Holm", born: testBirthday, source: "UN_CONSOLIDATED", id: "SIM-UN-1",
		comment: "Listed on the simulated consolidated list", updated: "2020-02-02T00:00:00",
	}}}
	return []facts{tomas, kari, kris, morten, mia}
}

// hitsOfTomas have different match indicators.
func hitsOfTomas() screening {
	return screening{
		pep: []hit{
			{indicator: 500, match: "1.0", name: "Tomas Topstad", born: testBirthday, source: "PEP_Edge", id: "SIM-PEP-1", title: "Member", function: "Simulated assembly", updated: "2016-12-15T00:00:00"},
			{indicator: 325, match: "0.91", name: "Thomas Topstad", born: testBirthday, source: "PEP_AC", id: "SIM-PEP-2", comment: "Relative or close associate (RCA)", updated: "2018-05-04T00:00:00"},
		},
		sanction: []hit{
			{indicator: 325, match: "0.86", name: "T. Topstad", born: testBirthday, source: "EU_GLOBAL", id: "SIM-EU-1", updated: "2016-12-15T00:00:00"},
			{indicator: 100, match: "0.74", name: "Tom Topsta", source: "HMTREASURY", id: "SIM-HMT-1", updated: "2021-09-30T00:00:00"},
		},
	}
}

// hitsOfKris are a collection as a fuzzy search gives it.
func hitsOfKris() screening {
	var s screening
	for i, variant := range []struct{ name, match string }{
		{"Kris Granum", "0.95"}, {"Chris Granum", "0.84"}, {"Kris P. Granheim", "0.71"}, {"Krister Granum", "0.68"}, {"Kris Gran", "0.62"},
	} {
		h := hit{indicator: 100 + 50*(4-i), match: variant.match, name: variant.name, source: "PEP_Edge", id: "SIM-FUZZY-" + string(rune('A'+i)), updated: "2019-01-01T00:00:00"}
		s.pep = append(s.pep, h)
		if i < 3 {
			h.source, h.id = "EU_GLOBAL", "SIM-FUZZY-EU-"+string(rune('A'+i))
			s.sanction = append(s.sanction, h)
		}
	}
	return s
}
