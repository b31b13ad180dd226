package amlsim

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// pdfDocument is a text of several pages to be written as PDF 1.7, signed or
// not. It knows as much of ISO 32000-1 as a report needs: one standard font, A4
// pages of lines, and one invisible signature field.
type pdfDocument struct {
	title string
	lines []pdfLine
	at    time.Time
	// sign makes the signature over the bytes it is given; nil leaves the
	// document unsigned.
	sign func(pieces ...[]byte) ([]byte, error)
}

type pdfLine struct {
	text    string
	heading bool
}

const (
	pdfLinesPerPage = 46
	// pdfLineWidth is how many characters of 10 point Helvetica fit between the
	// margins of A4; names of W alone would still run over, nobody's name does.
	pdfLineWidth = 88
	// signatureBytes is room for the signature: about 1 KiB of certificate and
	// attributes, with space to spare, padded with zeros.
	signatureBytes = 2048
	// byteRangeWidth is room for the four numbers, written last.
	byteRangeWidth = 48
)

// pdfWriter numbers objects and remembers where they begin.
type pdfWriter struct {
	bytes.Buffer
	offsets []int // of object 1, 2, …
}

func (w *pdfWriter) object(number int, body string) {
	for len(w.offsets) < number {
		w.offsets = append(w.offsets, 0)
	}
	w.offsets[number-1] = w.Len()
	fmt.Fprintf(w, "%d 0 obj\n%s\nendobj\n", number, body)
}

// Numbers of the objects there is one of; pages follow.
const (
	pdfCatalog = iota + 1
	pdfPages
	pdfFont
	pdfInfo
	pdfField
	pdfSignature
	pdfFirstPage
)

// encode writes the document.
func (d pdfDocument) encode() ([]byte, error) {
	pages := d.paginate()
	w := &pdfWriter{}
	// The second line marks the file as binary for programs that guess.
	w.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	form := ""
	if d.sign != nil {
		// SigFlags 3: there are signatures, and the file may only be appended to.
		form = fmt.Sprintf(" /AcroForm << /Fields [%d 0 R] /SigFlags 3 >>", pdfField)
	}
	w.object(pdfCatalog, fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R%s >>", pdfPages, form))
	kids := make([]string, len(pages))
	for i := range pages {
		kids[i] = fmt.Sprintf("%d 0 R", pdfFirstPage+2*i)
	}
	w.object(pdfPages, fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(pages)))
	w.object(pdfFont, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	w.object(pdfInfo, fmt.Sprintf("<< /Title %s /Producer (rescreen amlsim) /CreationDate %s >>", pdfText(d.title), pdfDate(d.at)))
	for i, page := range pages {
		w.page(pdfFirstPage+2*i, page, i == 0 && d.sign != nil)
	}
	if d.sign == nil {
		w.trailer()
		return w.Bytes(), nil
	}
	return d.seal(w)
}

// page writes a page and its content, and on the first page the place of the
// signature field, which has no size and is therefore not seen.
func (w *pdfWriter) page(number int, lines []pdfLine, withField bool) {
	annots := ""
	if withField {
		annots = fmt.Sprintf(" /Annots [%d 0 R]", pdfField)
		w.object(pdfField, fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature1) /Rect [0 0 0 0] /F 132 /P %d 0 R /V %d 0 R >>", number, pdfSignature))
	}
	w.object(number, fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 %d 0 R >> >> /Contents %d 0 R%s >>",
		pdfPages, pdfFont, number+1, annots))
	var content strings.Builder
	content.WriteString("BT\n/F1 10 Tf\n60 790 Td\n16 TL\n")
	for _, line := range lines {
		size := 10
		if line.heading {
			size = 14
		}
		fmt.Fprintf(&content, "/F1 %d Tf\n%s Tj\nT*\n", size, pdfText(line.text))
	}
	content.WriteString("ET")
	w.object(number+1, fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", content.Len(), content.String()))
}

// seal writes the signature dictionary, the trailer, and then into the gaps
// left for them the byte range and the signature over all but itself.
func (d pdfDocument) seal(w *pdfWriter) ([]byte, error) {
	before := w.Len()
	w.object(pdfSignature, fmt.Sprintf("<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /M %s /Reason (AML report) /ByteRange %s /Contents <%s> >>",
		pdfDate(d.at), strings.Repeat(" ", byteRangeWidth), strings.Repeat("0", 2*signatureBytes)))
	written := w.Bytes()[before:]
	rangeAt := before + bytes.Index(written, []byte("/ByteRange ")) + len("/ByteRange ")
	gapStart := before + bytes.Index(written, []byte("/Contents ")) + len("/Contents ")
	gapEnd := gapStart + 2*signatureBytes + 2 // with the angle brackets
	w.trailer()

	file := w.Bytes()
	copy(file[rangeAt:], fmt.Sprintf("[0 %d %d %d]", gapStart, gapEnd, len(file)-gapEnd))
	signature, err := d.sign(file[:gapStart], file[gapEnd:])
	if err != nil {
		return nil, err
	}
	if len(signature) > signatureBytes {
		return nil, fmt.Errorf("signature of %d bytes", len(signature))
	}
	copy(file[gapStart+1:], fmt.Sprintf("%X", signature))
	return file, nil
}

// trailer writes the cross-reference table and what points at it.
func (w *pdfWriter) trailer() {
	start := w.Len()
	fmt.Fprintf(w, "xref\n0 %d\n0000000000 65535 f \n", len(w.offsets)+1)
	for _, offset := range w.offsets {
		if offset == 0 { // a number this document does not use
			w.WriteString("0000000000 65535 f \n")
			continue
		}
		fmt.Fprintf(w, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(w, "trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(w.offsets)+1, pdfCatalog, pdfInfo, start)
}

// paginate cuts long lines at blanks and deals the lines out to pages.
func (d pdfDocument) paginate() [][]pdfLine {
	var lines []pdfLine
	for _, line := range d.lines {
		for _, part := range wrap(line.text, pdfLineWidth) {
			lines = append(lines, pdfLine{text: part, heading: line.heading})
		}
	}
	pages := [][]pdfLine{nil}
	for _, line := range lines {
		last := len(pages) - 1
		if len(pages[last]) == pdfLinesPerPage {
			pages = append(pages, nil)
			last++
		}
		pages[last] = append(pages[last], line)
	}
	return pages
}

// wrap cuts a text into lines of at most width characters, at blanks if it can.
func wrap(text string, width int) []string {
	letters := []rune(text)
	var lines []string
	for len(letters) > width {
		cut := width
		for i := width; i > width/2; i-- {
			if letters[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, string(letters[:cut]))
		letters = []rune(strings.TrimLeft(string(letters[cut:]), " "))
	}
	return append(lines, string(letters))
}

// pdfText writes a string in WinAnsi, which is Latin-1 as far as it is used
// here. A letter beyond Latin-1 becomes a question mark: the standard fonts
// that every viewer has do not know it either.
func pdfText(text string) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, letter := range text {
		switch {
		case letter == '(' || letter == ')' || letter == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(letter))
		case letter >= 0x20 && letter < 0x7f:
			b.WriteByte(byte(letter))
		case letter >= 0xa0 && letter <= 0xff:
			fmt.Fprintf(&b, "\\%03o", letter)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte(')')
	return b.String()
}

func pdfDate(t time.Time) string { return t.UTC().Format("(D:20060102150405Z)") }
