package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// diffConfigs compares two configurations field by field, under the names
// that the server and the nats tool use for them. A field that is left out is
// the same as one that is false, empty or zero.
func diffConfigs(have, want any, fixed func(field, from, to string) bool) ([]fieldChange, error) {
	from, err := fieldsOf(have)
	if err != nil {
		return nil, err
	}
	to, err := fieldsOf(want)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(from)
	maps.Copy(all, to)
	var out []fieldChange
	for _, field := range slices.Sorted(maps.Keys(all)) {
		f, t := from[field], to[field]
		if reflect.DeepEqual(f, t) || (isZero(f) && isZero(t)) {
			continue
		}
		c := fieldChange{Field: field, Old: fieldText(field, f), New: fieldText(field, t)}
		c.Fixed = fixed(field, c.Old, c.New)
		out = append(out, c)
	}
	return out, nil
}

func fieldsOf(config any) (map[string]any, error) {
	data, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a float64 cannot hold every number of bytes or nanoseconds
	fields := map[string]any{}
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	// Each entry of the metadata is a field: of a dozen, one may differ.
	entries, _ := fields["metadata"].(map[string]any)
	delete(fields, "metadata")
	for key, value := range entries {
		fields["metadata "+key] = value
	}
	return fields, nil
}

func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		return v.String() == "0"
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// fieldText prints a field for a person: durations as durations, lists with
// commas.
func fieldText(field string, v any) string {
	switch v := v.(type) {
	case nil:
		return "unset"
	case json.Number:
		if n, err := v.Int64(); err == nil && isDuration(field) {
			return durationText(time.Duration(n))
		}
		return v.String()
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = fieldText(field, p)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+"="+fieldText("", v[k]))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// isDuration knows the fields that hold nanoseconds.
func isDuration(field string) bool {
	switch field {
	case "max_age", "duplicate_window", "subject_delete_marker_ttl",
		"ack_wait", "backoff", "inactive_threshold", "max_expires", "idle_heartbeat", "priority_timeout":
		return true
	}
	return false
}
