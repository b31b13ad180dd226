// Package schema publishes what goes over the wire as JSON Schemas (2020-12):
// jobs for those who publish them, results and failures for those who read
// them. A test of package queue holds schemas and code together.
package schema

import _ "embed" // the schemas are files for others to read, too

//go:embed job.v1.json
var job string

//go:embed result.v1.json
var result string

//go:embed failure.v1.json
var failure string

// Schema is one published schema.
type Schema struct {
	Name string // of the file, such as job.v1.json
	ID   string // $id
	JSON string
}

// Schemas returns all schemas.
func Schemas() []Schema {
	return []Schema{
		{"job.v1.json", "urn:rescreen:schema:job.v1", job},
		{"result.v1.json", "urn:rescreen:schema:result.v1", result},
		{"failure.v1.json", "urn:rescreen:schema:failure.v1", failure},
	}
}
