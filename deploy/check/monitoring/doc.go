// Package monitoring holds the alerts, the dashboard and the runbook of
// rescreen together, and to what a worker really says of itself. It has tests only.
//
// The rule tests are in promtool's format and run here without it: its own
// runner cannot be imported, and the parts that it is made of bring five
// hundred packages (the clients of three clouds among them), the query engine alone a
// hundred. What an alert is made of beside its query is a page of code.
package monitoring
