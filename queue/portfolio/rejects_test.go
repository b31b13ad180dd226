package portfolio

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRejectsAreWrittenForSpreadsheets(t *testing.T) {
	in := "customer_ref;first_name;last_name;ssn\nC-1;Ola;\"Berg; \"\"Jr\"\"\";01010750161\nC-2;\xd8ystein;Lie;01010750160\nC-3;\"Ola;Lie;01010750160\n"
	r, err := Open(strings.NewReader(in), Options{})
	var out bytes.Buffer
	w := NewRejectWriter(&out)
	for err == nil {
		var row Row
		if row, err = r.Next(); err == nil {
			if strings.Contains(fmt.Sprintf("%v %+v", row, *row.Reject), "0101075016") {
				t.Errorf("row %d prints its content", row.Line)
			}
			if err := w.Write(*row.Reject); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	text, marked := strings.CutPrefix(out.String(), "\ufeff")
	if !marked {
		t.Error("no byte order mark")
	}
	got, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"row", "column", "reason", "raw"},
		{"2", "ssn", "cannot exist in its country: NO national id: control digit does not fit", `C-1;Ola;"Berg; ""Jr""";01010750161`},
		{"3", "first_name", "is not UTF-8 (perhaps Latin-1): save the file as UTF-8", "C-2;Øystein;Lie;01010750160"},
		{"4", "", "has a quote that is not closed", `C-3;"Ola;Lie;01010750160`},
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%q", got)
	}
}

func TestNoRejectsNoFile(t *testing.T) {
	var out bytes.Buffer
	if err := NewRejectWriter(&out).Flush(); err != nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestRejectsThatCannotBeWritten(t *testing.T) {
	w := NewRejectWriter(full{})
	if err := w.Write(Reject{Row: 2}); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

func TestSHA256(t *testing.T) {
	got, err := SHA256(strings.NewReader("abc"))
	if err != nil || got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%s, %v", got, err)
	}
}
