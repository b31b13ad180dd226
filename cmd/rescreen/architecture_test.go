package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Who may import whom within the module, test helpers left out. What is not
// here may not be: queue, store and apiclient do not know each other, and
// only worker and cmd know all three.
var imports = map[string][]string{
	"apiclient":                   {"apiclient/nationalid", "apiclient/personal"},
	"apiclient/amlsim":            {},
	"apiclient/nationalid":        {"apiclient/personal"},
	"apiclient/personal":          {},
	"apiclient/nationalid/idtest": {},
	"queue":                       {"apiclient/nationalid", "apiclient/personal"},
	"queue/natsembed":             {},
	"queue/portfolio":             {"apiclient/nationalid", "apiclient/personal", "queue"},
	"queue/queuetest":             {"queue"},
	"queue/schema":                {},
	"store":                       {},
	"store/storetest":             {"store"},
	"worker":                      {"apiclient", "queue", "store"},
	"cmd/rescreen": {
		"apiclient", "apiclient/amlsim", "apiclient/nationalid", "apiclient/personal", "queue", "queue/natsembed", "queue/portfolio", "store", "testdata", "worker",
	},
}

func TestPackagesImportWhatTheyMay(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], "rescreen/")
		may, known := imports[pkg]
		if !known && strings.HasPrefix(fields[0], "rescreen/") {
			t.Errorf("package %s has no place in the table", pkg)
		}
		for _, imported := range fields[1:] {
			if name, ours := strings.CutPrefix(imported, "rescreen/"); ours && known && !slices.Contains(may, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
}

// What personal data could slip through: zap's reflection marshals what the
// redacting type shows to the wire.
func TestNothingIsLoggedByReflection(t *testing.T) {
	forbidden := regexp.MustCompile(`zap\.(Any|Reflect|Inline)\(|\.Sugar\(\)`)
	files := 0
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		source, err := os.ReadFile(path)
		if found := forbidden.Find(source); found != nil {
			t.Errorf("%s uses %s", path, found)
		}
		return err
	})
	if err != nil || files < 50 {
		t.Fatalf("%d files, %v", files, err)
	}
}
