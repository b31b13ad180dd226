package portfolio

import "strings"

// names are of no person: first and last names drawn apart from each other.
type names struct{ first, last string }

var (
	norwegianNames = names{
		"Anne Astrid Berit Bjørn Camilla Dag Eirik Elin Erik Frode Gro Guro Hanne Harald Håkon Håvard Ida Ingrid Ivar Jørgen Kari Kjetil Kristin Lars Lene " +
			"Magnus Marit Nils Ola Ole-Petter Per Ragnhild Rune Silje Siri Sigrid Solveig Stian Sunniva Svein Sølvi Terje Tone Tor-Åge Trygve Unni Vegard Ylva Øystein Åse Åshild",
		"Andersen Aune Bakke Berg Berge Bøe Dahl Eide Fjeld Foss Gjertsen Grønli Hagen Haugen Holte Hovland Iversen Jensen Kleppe Knutsen Kvåle Lien Lund Løkken " +
			"Moen Myhre Nygård Næss Odden Opsahl Ruud Rønning Sandvik Skår Solbakken Strømme Sæther Tangen Thorsen Tveit Ulvestad Vik Våge Wiik Ødegård Østby Åkre Årdal",
	}
	swedishNames = names{
		"Agnes Anders Birgit Elsa Göran Gösta Hjördis Ingvar Karl-Gustav Linnéa Märta Nils Ragnar Signe Sven Torbjörn Åke Åsa",
		"Ahlström Bergqvist Björk Dahlgren Ekström Forsberg Gräns Hägglund Kjellén Lindström Norén Nyström Sjöberg Söderlind Törnqvist Wahlström Åkerman Öberg",
	}
	danishNames = names{
		"Aksel Bodil Christian Dagmar Ellen Esben Gudrun Holger Inger Jørgen Karen Kirstine Niels Poul Rasmus Søren Thyra Valdemar",
		"Bæk Christoffersen Dam Frandsen Gregersen Højgaard Kjær Kragh Lauridsen Mørk Nørgaard Overgaard Skovgaard Sønderby Toft Vestergård Ørsted Ågård",
	}
	finnishNames = names{
		"Aino Anneli Antti Eeva Hannele Heikki Jukka Jyrki Kaarina Kyösti Leena Matti Päivi Pekka Sinikka Tapio Väinö Yrjö",
		"Aalto Hakala Heikkilä Hämäläinen Järvelä Kettunen Koskela Lehtonen Mäkelä Niemi Nyyssönen Pöyry Rantanen Salmela Törmänen Vähäkangas Väisänen Ylönen",
	}
	foreignNames = names{
		"Agnieszka Ahmed Amina Bogdan Chidi Dragana Fatima Hassan Ioana Jelena Katarzyna Laszlo Mehmet Nguyen Olga Priya Raúl Zoë",
		"Abdi Babić Cărbune Dąbrowska El-Amin Fernández Grzegorczyk Hoxha Ionescu Jovanović Kowalczyk Müller Novák Okonkwo Petrauskas Singh Tran Yılmaz",
	}
)

func (s sample) name(n names) (first, last string) {
	firsts, lasts := strings.Fields(n.first), strings.Fields(n.last)
	first, last = firsts[s.rng.IntN(len(firsts))], lasts[s.rng.IntN(len(lasts))]
	switch s.rng.IntN(12) {
	case 0:
		first += " " + firsts[s.rng.IntN(len(firsts))]
	case 1:
		last += "-" + lasts[s.rng.IntN(len(lasts))]
	case 2:
		last = lasts[s.rng.IntN(len(lasts))] + " " + last
	}
	return first, last
}
