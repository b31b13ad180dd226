// Package amlsim simulates the AML API: token endpoint, sessions that take
// their time, result documents, signed PDF reports, rate limits and, on order,
// every way in which such an API and the network in front of it can go wrong.
//
// A [Simulator] is an [http.Handler]. It can be served by net/http, or used
// without any socket through [Simulator.Transport], which also works inside a
// testing/synctest bubble: all time comes from Config.Now and from timers.
//
// # What it answers
//
// It speaks the contract of this project with the API. Where the API's own
// documentation is silent the simulator has a switch (Shape, Links,
// NotReadyStatus, GoneStatus, …), so that a client can be run against every
// reading. It knows the five documented test people by heart and invents
// everybody else from the request alone: the same query gets the same document,
// in every run, whatever the seed. What depends on [Config.Seed] is how long a
// session takes and which fate it meets; that is drawn from seed, person and
// the how-manieth session of that person it is, so it does not depend on the
// order in which concurrent calls arrive.
//
// # What it keeps
//
// Sessions live in memory, around 150 bytes each; documents and reports are
// computed when asked for. [Simulator.Stats] and GET /stats tell what happened
// without naming anybody.
//
// # Faults
//
// A fault script ([Fault], [LoadFaults]) breaks single calls. Through the
// in-process transport "refuse" fails before a connection exists. Served over a
// real socket the handler runs only once the connection is there, so "refuse"
// can be no more than a reset before answering.
package amlsim
