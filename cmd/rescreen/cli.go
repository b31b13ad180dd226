package main

// grammar is the command line: global settings and one struct per command.
type grammar struct {
	Config string `file:"never" placeholder:"FILE" help:"YAML file of settings; its keys are the names of the flags. A flag beats the environment, the environment beats the file."`
	logSettings

	Demo    demoCmd      `cmd:"" help:"Screen a sample portfolio from end to end in this one process."`
	Worker  workerCmd    `cmd:"" help:"Screen what is queued, until stopped."`
	Batch   batchCmd     `cmd:"" help:"Submit portfolios and follow, list and export what becomes of them."`
	Limits  limitsCmd    `cmd:"" help:"Show or change the limits that all workers share."`
	Config_ configCmd    `cmd:"" name:"config" help:"Show or check the configuration."`
	Setup   setupCmd     `cmd:"" help:"Make or update the streams, buckets and consumers in JetStream; never deletes."`
	Doctor  doctorCmd    `cmd:"" help:"Check everything a worker needs, and say what is wrong and what to do about it."`
	Sim     simulatorCmd `cmd:"" name:"simulator" help:"Serve a simulated AML API on this machine, without any account."`
	Version versionCmd   `cmd:"" help:"Print the version."`
}
