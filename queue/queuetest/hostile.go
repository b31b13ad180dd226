package queuetest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// HostileJob is something that somebody published straight to the job stream.
type HostileJob struct {
	Name   string
	Data   []byte
	Header nats.Header
	// Screened: it is a job after all, odd but legal, and its id is ID.
	Screened bool
	ID       string
}

// Canaries are the person of all hostile jobs: a name, a birth date and a number
// that nobody holds. No log, failure, subject or header may repeat them.
func Canaries() []string { return []string{"Kanarifugl", "1969-12-24", "01010750241"} }

// HostileJobs is the corpus: each but the screened ones fails as an invalid job.
func HostileJobs() []HostileJob {
	const good = `{"id":"ID","customer_ref":"C-9","first_name":"Kari","last_name":"Kanarifugl","date_of_birth":"1969-12-24"}`
	with := func(members string) string { return strings.TrimSuffix(good, "}") + "," + members + "}" }
	replaced := func(old, now string) string { return strings.Replace(good, old, now, 1) }
	named := func(name string) string { return replaced(`"Kanarifugl"`, `"Kanarifugl`+name+`"`) }
	born := func(date string) string { return replaced(`"1969-12-24"`, `"`+date+`"`) }
	ref := func(text string) string { return replaced(`"C-9"`, `"`+text+`"`) }
	id := func(text string) string { return replaced(`"ID"`, `"`+text+`"`) }
	nested := func(n int) string { return with(`"expands":` + strings.Repeat("[", n) + strings.Repeat("]", n)) }

	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(good)) // a buffer takes everything
	_ = z.Close()

	refused := map[string]string{
		"empty": "", "blank": " \n", "null": "null", "a text": `"Kanarifugl"`, "a number": "1e400", "a list": "[" + good + "]",
		"cut": good[:len(good)-20], "two": good + good, "text behind": good + "Kanarifugl", "a comma behind": good + ",",
		"NUL in front": "\x00" + good, "NUL behind": good + "\x00", "NUL in a name": named("\x00"), "NUL escaped": named(`\u0000`),
		"byte order mark": "\ufeff" + good, "UTF-16": "\xff\xfe{\x00\"\x00", "invalid UTF-8": named("\xff"), "half a surrogate": named(`\ud800`), "Latin-1": named("\xe5"),
		"gzip": zipped.String(), "XML": "<job>Kanarifugl</job>", "a form": "id=1&last_name=Kanarifugl", "a CloudEvent": `{"specversion":"1.0","id":"a","type":"t","data":` + good + `}`,
		"member twice": with(`"last_name":"Kanarifugl"`), "id twice": with(`"id":"other"`), "unknown member": with(`"vip":"Kanarifugl"`), "member named for a person": with(`"Kanarifugl":1`),
		"__proto__": with(`"__proto__":{"report":true}`), "other case": replaced("last_name", "Last_Name"), "member null": with(`"ssn":null`), "member empty": with(`"ssn":""`),
		"nested 30,000 deep": nested(30_000), "nested 100,000 deep": nested(100_000), "nested and cut": strings.Repeat(`{"id":`, 10_000),
		"name of 257": named(strings.Repeat("x", 257-10)), "name of 1 MB": named(strings.Repeat("x", 1_000_000)), "a megabyte of blanks": strings.Repeat(" ", 1_000_000) + good,
		"just under the limit": named(strings.Repeat("x", 64<<10-len(good))), "just above the limit": named(strings.Repeat("x", 64<<10+1-len(good))),
		"name of blanks": replaced(`"Kanarifugl"`, `"\u00a0\u2003 "`), "name is a number": replaced(`"Kanarifugl"`, "1969"), "name is a list": replaced(`"Kanarifugl"`, `["Kanarifugl"]`),
		"name with a line break": named(`\r\nNats-Rollup: all`), "name with an escape": named(`\u001b[2J`), "name with a C1 control": named(`\u0085`), "replacement character": named("\ufffd"),
		"id with a wildcard": id("*"), "id with a greater": id(">"), "id with a dot": id("a.b"), "id with CRLF": id(`a\r\nX: y`), "id with a blank": id("a b"), "id of a path": id("../../etc"),
		"id of 65": id(strings.Repeat("x", 65)), "id is a person": id("01010750241"), "id is a number": replaced(`"ID"`, "7"), "id missing": replaced(`"id":"ID",`, ""), "id of other letters": id("æøå"),
		"reference is a person": ref("01010750241"), "reference is a person, spaced": ref("010107 50241"), "reference holds a person": ref("kunde 01010750241"), "reference of 129": ref(strings.Repeat("x", 129)),
		"reference with CRLF": ref(`C\r\nX: Kanarifugl`), "reference with NUL": ref(`C\u0000`), "reference missing": replaced(`"customer_ref":"C-9",`, ""),
		"born on 30 February": born("2023-02-30"), "born tomorrow": born("9999-12-31"), "born in year 1": born("0001-01-01"), "born at a time": born("1969-12-24T00:00:00Z"),
		"born in two digits": born("69-12-24"), "born in other digits": born("１９６９-12-24"), "born after a blank": born(" 1969-12-24"), "born a number": replaced(`"1969-12-24"`, "19691224"), "born never": replaced(`,"date_of_birth":"1969-12-24"`, ""),
		"a wrong control digit": with(`"ssn":"01010750242"`), "ssn of letters": with(`"ssn":"Kanarifugl"`), "ssn a number": with(`"ssn":1010750241`), "ssn of 1 MB": with(`"ssn":"` + strings.Repeat("1", 1_000_000) + `"`),
		"ssn of nowhere": with(`"ssn":"01010750241","ssn_country":"XX"`), "country up": with(`"country":"../"`), "country of a path": with(`"country":"no/../../token"`), "country encoded": with(`"country":"%2e%2e"`), "country of a query": with(`"country":"no?x=1"`),
		"expands up": with(`"expands":["../../admin"]`), "expands of thousands": with(`"expands":["aml"` + strings.Repeat(`,"aml"`, 5000) + `]`), "expands of nothing": with(`"expands":[]`), "expands of null": with(`"expands":[null]`),
		"expands of a person": with(`"expands":["Kanarifugl"]`), "expands the report": with(`"expands":["links.reports.aml"]`), "expands is a text": with(`"expands":"aml"`), "expands is an object": with(`"expands":{"aml":1}`),
		"language of nobody": with(`"language":"xx"`), "language of a path": with(`"language":"../nb"`), "report is a text": with(`"report":"true"`), "report is 1": with(`"report":1`),
	}
	for name, number := range map[string]string{"0": "0", "-1": "-1", "-0": "-0", "10000": "10000", "2^63": "9223372036854775808", "2^64": "18446744073709551616", "1e400": "1e400", "1.5": "1.5", "a text": `"1"`, "NaN": "NaN"} {
		refused["attempt "+name] = with(`"attempt":` + number)
	}
	var all []HostileJob
	for name, data := range refused {
		all = append(all, HostileJob{Name: name, Data: []byte(data)})
	}

	odd := func(name, data string, header nats.Header) {
		own := fmt.Sprintf("odd-%d", len(all))
		all = append(all, HostileJob{Name: name, Data: []byte(strings.Replace(data, `"ID"`, `"`+own+`"`, 1)), Header: header, Screened: true, ID: own})
	}
	odd("right to left", named("\u202egufiranaK"), nil)
	odd("joined and combined", named("\u200d\u0301\u0301\u0301👩‍🚀"), nil)
	odd("escaped as JSON may be", named(`\u00c5\ud83d\ude00\/`), nil)
	odd("HTML and SQL", named(`<script>'; DROP TABLE--`), nil)
	odd("a name like a member", replaced(`"Kari"`, `"{\"last_name\":\"x\"}"`), nil)
	odd("number without birth date", strings.Replace(good, `"date_of_birth":"1969-12-24"`, `"ssn":"01010750241"`, 1), nil)
	odd("spread over lines", strings.ReplaceAll(good, ",", ",\r\n\t"), nil)
	odd("last attempt", with(`"attempt":9999`), nil)
	odd("trace of garbage", good, nats.Header{"traceparent": {"00-Kanarifugl\r\nX: y"}})
	odd("trace of 32 KB", good, nats.Header{"traceparent": {"Kanarifugl" + strings.Repeat("0", 32<<10)}})
	odd("header as large as a server takes", good, nats.Header{"X-Large": {"Kanarifugl" + strings.Repeat("x", 63<<10)}})
	odd("many headers", good, manyHeaders())
	odd("wrong content type", good, nats.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"gzip"}})
	all = append(all, HostileJob{Name: "no job with a trace of a person", Data: []byte("{"), Header: nats.Header{"traceparent": {"Kanarifugl 01010750241"}}})
	return all
}

func manyHeaders() nats.Header {
	h := nats.Header{}
	for i := range 1000 {
		h.Add(fmt.Sprint("X-Kanarifugl-", i), "Kanarifugl")
	}
	return h
}
