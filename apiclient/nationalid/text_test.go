package nationalid_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"rescreen/apiclient/nationalid"
)

func TestLooks(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"01010750160", true},
		{" 010107 50160 ", true},
		{"010107-50160", true},
		{"01.01.07 50160", true},
		{"NO01010750160", true},
		{"no-01010750160", true},
		{"41010750167", false},
		{"01810750149", false},
		{"701063-2391", true},
		{"7010632391", true},
		{"18900101-9802", true},
		{"189001019802", true},
		{"SE 900101-2385", true},
		{"131052-308T", true},
		{"131052-308t", true},
		{"FI131052A308T", true},
		{"010107-0001", true},  // Danish with hyphen: the date alone decides
		{"010107 0001", true},  // or with a space
		{"0101070001", false},  // bare and outside modulus 11
		{"0101070034", true},   // bare, inside
		{"1234567890", false},  // no date in any order
		{"10023456790", false}, // eleven digits, a date, wrong control digits
		{"C-000123", false},
		{"C-01010750160", true}, // a customer number made of a national id
		{"kunde01010750160", true},
		{"KUNDE131052A308T", true},
		{"a01010750160b", false}, // inside a word: as likely a hash
		{"x.01010750160.7", true},
		{"C/131052-308T/2", true},
		{"C-189001019802", true},
		{"C-701063-2391", false}, // ten digits inside: a date and a serial as often
		{"240301-0001", true},    // cannot be told from a Danish number
		{"2024-240301-0001", false},
		{"401010750160", false},
		{"", false},
		{"550e8400-e29b-41d4-a716-446655440000", false},
		{"2026-03-01", false},
		{"+47 22 33 44 55", false},
		{"NO", false},
		{"------", false},
	} {
		if got := nationalid.Looks(c.in); got != c.want {
			t.Errorf("%q: %v", c.in, got)
		}
	}
}

// What the check costs somebody whose customer numbers are plain digits. The
// documented shares are those of 100,000 random references of each length;
// their standard error is 0.03 %.
func TestLooksRefusesFewReferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const tries = 100_000
	for _, c := range []struct {
		digits     int
		modulo     uint64
		percentage float64 // documented at Looks
	}{
		{8, 1e8, 0}, {9, 1e9, 0}, {10, 1e10, 1.05}, {11, 1e11, 0.97}, {12, 1e12, 0.02}, {13, 1e13, 0},
	} {
		refused := 0
		for range tries {
			if nationalid.Looks(fmt.Sprintf("%0*d", c.digits, rng.Uint64N(c.modulo))) {
				refused++
			}
		}
		share := 100 * float64(refused) / tries
		t.Logf("%d digits: %.3f %% refused", c.digits, share)
		if diff := share - c.percentage; diff < -0.1 || diff > 0.1 || (c.percentage == 0 && refused > 0) {
			t.Errorf("%d digits: %.3f %% refused, documented are %.2f %%", c.digits, share, c.percentage)
		}
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"ssn is invalid", "ssn is invalid"},
		{`{"message":"ssn 01010750160 is invalid","status":400}`, `{"message":"ssn [id] is invalid","status":400}`},
		{`{"ssn":1010750160}`, `{"ssn":[id]}`}, // sent on as a number, the zero lost
		{"ssn=010107+50160&country=NO", "ssn=[id]&country=NO"},
		{"ssn=010107%2050160", "ssn=[id]"},
		{"010107 501 60", "[id]"},
		{"01 01 07 50160", "[id]"},
		{"01.01.07-50160", "[id]"},
		{"SE701063-2391,DK010107-5016", "SE[id],DK[id]"},
		{"19701063-2391.", "[id]."},
		{"hetu 131052-308T, 131052A308T", "hetu [id], [id]"},
		{"131052y308t", "[id]"},
		{"٠١٠١٠٧٥٠١٦٠", "[id]"},
		{"4701010750160", "[id]"},
		{"4f9a01010750160b", "4f9a[id]b"},

		{"2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"},
		{"2026-03-01 12:00:00.123456", "2026-03-01 12:00:00.123456"},
		{"born 2007-01-01", "born 2007-01-01"},
		{"HTTP 400, 8388608 bytes, 127.0.0.1:8117", "HTTP 400, 8388608 bytes, 127.0.0.1:8117"},
		{"550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-[id]"}, // the price
		{"expires_at 1700000000", "expires_at [id]"},                             // the price
	} {
		if got := nationalid.Mask(c.in); got != c.want {
			t.Errorf("%q becomes %q, not %q", c.in, got, c.want)
		}
	}
}

// Identifiers made by machines are references, too: a job id of this project
// is 32 hex digits, and none may be taken for a person.
func TestLooksLeavesHashesAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		a, b := rng.Uint64(), rng.Uint64()
		for _, ref := range []string{
			fmt.Sprintf("%016x%016x", a, b),
			fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff),
		} {
			if nationalid.Looks(ref) {
				t.Errorf("%s looks like a number", ref)
			}
		}
	}
}

func BenchmarkLooks(b *testing.B) {
	for _, s := range []string{"C-000123", "10023456789", "550e8400-e29b-41d4-a716-446655440000"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				nationalid.Looks(s)
			}
		})
	}
}
