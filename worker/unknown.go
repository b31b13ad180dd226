package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// unknown is what a JSON object holds that this version does not know: a newer
// worker has written it. It is kept when the object is written again, so that
// versions can work side by side. nil: nothing.
type unknown struct {
	members map[string]json.RawMessage
	within  map[string]*unknown // in the objects that are known, by name
}

// decodeKeeping reads a JSON object into the struct that v points to and returns
// what the struct has no place for.
func decodeKeeping(data []byte, v any) (*unknown, error) {
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if strict.Decode(v) == nil && strict.InputOffset() == int64(len(data)) {
		return nil, nil // as almost always
	}
	reflect.ValueOf(v).Elem().SetZero()
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	return unknownIn(data, reflect.TypeOf(v).Elem()), nil
}

// unknownIn finds what a type has no place for.
func unknownIn(data []byte, t reflect.Type) *unknown {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var all map[string]json.RawMessage
	if t.Kind() != reflect.Struct || json.Unmarshal(data, &all) != nil {
		return nil // a number, a time, a list
	}
	u := &unknown{members: make(map[string]json.RawMessage), within: make(map[string]*unknown)}
	known := members(t)
	for name, value := range all {
		if f, ok := known[strings.ToLower(name)]; !ok {
			u.members[name] = value
		} else if within := unknownIn(value, f.Type); within != nil {
			u.within[jsonName(f)] = within
		}
	}
	if len(u.members)+len(u.within) == 0 {
		return nil
	}
	return u
}

// in returns what is unknown within the object of that name.
func (u *unknown) in(name string) *unknown {
	if u == nil {
		return nil
	}
	return u.within[name]
}

// encodeKeeping writes the struct v and what it has no place for.
func encodeKeeping(v any, rest *unknown) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || rest == nil {
		return b, err
	}
	return rest.addTo(b)
}

// addTo adds what was unknown to an object, as far as its objects are still there.
func (u *unknown) addTo(object []byte) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return nil, fmt.Errorf("members of a newer version: %w", err)
	}
	if all == nil {
		return nil, errors.New("members of a newer version: no object to add them to")
	}
	for name, value := range u.members {
		all[name] = value
	}
	for name, within := range u.within {
		if value, ok := all[name]; ok && value[0] == '{' {
			more, err := within.addTo(value)
			if err != nil {
				return nil, err
			}
			all[name] = more
		}
	}
	return json.Marshal(all)
}

// members are the fields that a struct has in JSON, by their names in small letters.
func members(t reflect.Type) map[string]reflect.StructField {
	found := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" && f.IsExported() {
			found[strings.ToLower(name)] = f
		}
	}
	return found
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
