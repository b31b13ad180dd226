package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfigBytes bounds the configuration file; a real one has a few hundred
// bytes, and a wrong path may well be a portfolio.
const maxConfigBytes = 1 << 20

// configFile is a flat YAML mapping of setting names to values.
type configFile struct {
	values map[string]fileValue
}

type fileValue struct {
	text  string // as on the command line
	place string // "rescreen.yaml:12"
}

// readConfigFile reads a file and reports everything in it that no setting
// matches. Values are checked later, against the settings of the command.
func readConfigFile(name string, known []setting) (configFile, problems) {
	var found problems
	data, err := readSmallFile(name, maxConfigBytes)
	if err != nil {
		found.addf("--config", "cannot be read: %v", err)
		return configFile{}, found
	}
	return parseConfigFile(name, data, known)
}

func parseConfigFile(name string, data []byte, known []setting) (configFile, problems) {
	var found problems
	mapping, err := onlyMapping(data)
	if err != nil {
		found.addf(name, "%v", err)
		return configFile{}, found
	}
	keys, separators := knownKeys(known)
	file := configFile{values: map[string]fileValue{}}
	for i := 0; i+1 < len(mapping); i += 2 {
		key, value := mapping[i], mapping[i+1]
		place := fmt.Sprintf("%s:%d", name, key.Line)
		if !contains(keys, key.Value) {
			found.addf(place, "unknown key %s%s", quoted(key.Value), didYouMean(nearest(key.Value, keys)))
			continue
		}
		if _, twice := file.values[key.Value]; twice {
			found.addf(place, "key %s stands twice", quoted(key.Value))
			continue
		}
		text, given, err := scalarText(value, separators[key.Value])
		if err != nil {
			found.addf(place, "key %s: %v", quoted(key.Value), err)
			continue
		}
		if given {
			file.values[key.Value] = fileValue{text, place}
		}
	}
	return file, found
}

// knownKeys lists the keys, and for those that hold a list its separator.
func knownKeys(known []setting) (keys []string, separators map[string]string) {
	separators = map[string]string{}
	for _, s := range known {
		if s.key == "" {
			continue
		}
		keys = append(keys, s.key)
		if s.flag.IsSlice() {
			separators[s.key] = string(s.flag.Tag.Sep)
		}
	}
	return keys, separators
}

// onlyMapping returns keys and values of the one mapping in a file; an empty
// file is an empty one.
func onlyMapping(data []byte) ([]*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" { // nothing but comments
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("not a list of settings: each line is written as key: value")
	}
	if !errors.Is(decoder.Decode(&yaml.Node{}), io.EOF) {
		return nil, errors.New("holds more than one YAML document")
	}
	return root.Content, nil
}

// scalarText is a value as it would stand on the command line. An empty value
// (null) counts as not given. Only settings with a separator take a list.
func scalarText(n *yaml.Node, separator string) (text string, given bool, err error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, n.Tag != "!!null", nil
	case yaml.SequenceNode:
		if separator == "" {
			return "", false, errors.New("takes one value, not a list")
		}
		var parts []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || strings.Contains(item.Value, separator) {
				return "", false, errors.New("takes a list of plain words")
			}
			parts = append(parts, item.Value)
		}
		return strings.Join(parts, separator), true, nil
	}
	return "", false, errors.New("takes a value, not a mapping")
}

// readSmallFile reads a file of at most limit bytes.
func readSmallFile(name string, limit int64) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return data, nil
}
