package main

import (
	"strconv"
	"strings"
	"time"

	"rescreen/queue"
)

// resultColumns are the columns of results.csv, one line for each result.
func resultColumns() []string {
	return []string{
		"customer_ref", "outcome", "pep_hits", "sanction_hits", "lists_searched", "possible_duplicate",
		"report_state", "report_signature", "document_sha256", "report_sha256",
		"session_id", "sessions_created", "polls", "created_at", "ready_seen_at", "fetched_at", "attempt", "job_id",
	}
}

func resultCells(e queue.Event, r queue.Result) []string {
	return []string{
		safeCell(e.Subject), string(r.Outcome), optionalNumber(r.PEPHits), optionalNumber(r.SanctionHits),
		safeCell(strings.Join(r.ListsSearched, "|")), strconv.FormatBool(r.PossibleDuplicate),
		string(r.Report.State), safeCell(optionalText(r.Report.Signature)), r.DocumentSHA256, optionalText(r.Report.SHA256),
		safeCell(r.SessionID), strconv.Itoa(r.SessionsCreated), strconv.Itoa(r.Polls),
		cellTime(r.CreatedAt), cellTime(r.ReadySeenAt), cellTime(r.FetchedAt), strconv.Itoa(r.Attempt), string(e.JobID),
	}
}

// failureColumns are the columns of failures.csv, one line for each failure.
func failureColumns() []string {
	return []string{
		"customer_ref", "reason", "failed_in", "retryable", "api_status", "message", "possible_duplicate",
		"session_id", "sessions_created", "polls", "created_at", "failed_at", "attempt", "job_id",
	}
}

func failureCells(e queue.Event, f queue.Failure) []string {
	created := ""
	if f.CreatedAt != nil {
		created = cellTime(*f.CreatedAt)
	}
	return []string{
		safeCell(e.Subject), string(f.Reason), string(f.FailedIn), strconv.FormatBool(f.Retryable),
		optionalNumber(f.APIStatus), safeCell(optionalText(f.Message)), strconv.FormatBool(f.PossibleDuplicate),
		safeCell(optionalText(f.SessionID)), strconv.Itoa(f.SessionsCreated), strconv.Itoa(f.Polls),
		created, cellTime(f.FailedAt), strconv.Itoa(f.Attempt), string(e.JobID),
	}
}

// safeCell keeps a spreadsheet from taking text from outside for a formula,
// which could send the rest of the sheet away: it gets an apostrophe in front,
// which spreadsheets do not show. The NDJSON files hold it unchanged.
func safeCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

func optionalNumber(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func optionalText(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func cellTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
