package main

import (
	"fmt"

	"rescreen/apiclient/amlsim"
)

// simulatorSettings say how the simulated API behaves. In the configuration
// file and the environment their names begin with simulator, where listen or
// shape alone would say too little.
type simulatorSettings struct {
	Listen       string       `group:"simulator" key:"simulator-listen" default:"127.0.0.1:8117" placeholder:"HOST:PORT" help:"Where to listen."`
	ReadyAfter   amlsim.Delay `group:"simulator" key:"simulator-ready-after" default:"3s" placeholder:"TIME" help:"Time from creation to the result: 3s, or drawn anew for each session: median=20s,sigma=1.2,min=1s,max=1h."`
	ReportAfter  amlsim.Delay `group:"simulator" key:"simulator-report-after" default:"2s" placeholder:"TIME" help:"Time from the result to the PDF, in the same forms."`
	Latency      amlsim.Delay `group:"simulator" key:"simulator-latency" default:"20ms" placeholder:"TIME" help:"What every call takes, in the same forms."`
	CreateRate   *frequency   `group:"simulator" key:"simulator-create-rate" placeholder:"N/s|m|h" help:"Answer 429 to creations beyond this rate. Default: no limit."`
	CreateBurst  int          `group:"simulator" key:"simulator-create-burst" default:"5" placeholder:"N" help:"Creations at once after a pause."`
	RequestRate  *frequency   `group:"simulator" key:"simulator-request-rate" placeholder:"N/s|m|h" help:"Answer 429 to calls beyond this rate. Default: no limit."`
	RequestBurst int          `group:"simulator" key:"simulator-request-burst" default:"10" placeholder:"N" help:"Calls at once after a pause."`
	Shape        string       `group:"simulator" key:"simulator-shape" enum:"flat,nested,list,mixed" default:"nested" placeholder:"flat|nested|list|mixed" help:"Form of the session information."`
	Links        string       `group:"simulator" key:"simulator-links" enum:"relative,path,absolute,none" default:"absolute" placeholder:"relative|path|absolute|none" help:"Form of the links in it."`
	Faults       string       `group:"simulator" key:"simulator-faults" placeholder:"FILE" help:"YAML script of what goes wrong."`
	Seed         uint64       `group:"simulator" key:"simulator-seed" default:"1" placeholder:"N" help:"Decides drawn delays and faults; the same seed gives the same run."`
}

// check reports what is wrong; prefix is what the names of the flags begin
// with: dashes, and the word simulator among the flags of config.
func (s simulatorSettings) check(prefix string) problems {
	var found problems
	if s.Listen == "" {
		found.addf(prefix+"listen", "must not be empty")
	}
	checkListen(&found, prefix+"listen", s.Listen)
	atLeast(&found, prefix+"create-burst", s.CreateBurst, 1)
	atLeast(&found, prefix+"request-burst", s.RequestBurst, 1)
	config, err := s.config()
	if err == nil && len(found) == 0 {
		err = config.Validate()
	}
	if err != nil {
		found.addf(prefix+"faults", "cannot be used: %v", err)
	}
	return found
}

// config is what the simulator is made from.
func (s simulatorSettings) config() (amlsim.Config, error) {
	c := amlsim.Config{
		Seed:       s.Seed,
		ReadyAfter: s.ReadyAfter, ReportAfter: s.ReportAfter, Latency: s.Latency,
		CreateBurst: s.CreateBurst, RequestBurst: s.RequestBurst,
		Shape: amlsim.Shape(s.Shape), Links: amlsim.Links(s.Links),
	}
	if s.CreateRate != nil {
		c.CreateRate = s.CreateRate.PerSecond()
	}
	if s.RequestRate != nil {
		c.RequestRate = s.RequestRate.PerSecond()
	}
	if s.Faults == "" {
		return c, nil
	}
	script, err := readSmallFile(s.Faults, maxConfigBytes)
	if err != nil {
		return c, err
	}
	if c.Faults, err = amlsim.LoadFaults(script); err != nil {
		return c, fmt.Errorf("%s: %w", s.Faults, err)
	}
	return c, nil
}
