package store

import "time"

// SetTryTimeout shortens how long a lost answer is waited for.
func SetTryTimeout(s *Store, d time.Duration) {
	for _, l := range []*line{
		&s.Ledger.line, &s.Wakes.line, &s.Outcomes.line, &s.Evidence.line, &s.Evidence.objects.line, &s.Registers.line,
	} {
		l.timeout = d
	}
	s.Clock.timeout = d
}

// SetFinalAge shortens how long final records are kept.
func SetFinalAge(s *Store, d time.Duration) { s.Ledger.ttl = d }

// SetNow replaces the clock by which large evidence is too old to be left alone.
func SetNow(s *Store, now func() time.Time) { s.Evidence.objects.now = now }
