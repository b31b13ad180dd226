package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// unknown holds the members of a JSON object that this version does not know: a
// newer worker has written them. They are kept when the object is written again, so
// that versions can work side by side.
type unknown map[string]json.RawMessage

// decodeKeeping reads a JSON object into the struct that v points to and returns
// what the struct has no place for: nil if there is nothing, at any depth.
func decodeKeeping(data []byte, v any) (unknown, error) {
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if strict.Decode(v) == nil {
		return nil, nil // as almost always
	}
	reflect.ValueOf(v).Elem().SetZero()
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	var all unknown
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	known := members(reflect.TypeOf(v).Elem())
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool {
		return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
	})
	return all, nil
}

// encodeKeeping writes the struct v and what it has no place for.
func encodeKeeping(v any, rest unknown) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || len(rest) == 0 {
		return b, err
	}
	more, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("members of a newer version: %w", err)
	}
	if len(b) == len("{}") {
		return more, nil
	}
	return slices.Concat(b[:len(b)-1], []byte(","), more[1:]), nil
}

// members are the names that a struct has in JSON.
func members(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && f.IsExported() {
			names = append(names, name)
		}
	}
	return names
}
