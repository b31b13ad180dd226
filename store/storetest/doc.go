// Package storetest offers a store in memory, for tests under simulated time,
// and the contract that it and the real one are both held to.
//
// [Memory] has the parts of store.Store with the same methods. It is a model,
// not a copy: it shows what a caller of the store can see, and can be told to
// lose, delay or misreport single calls. All its waiting is by time.AfterFunc
// and timers, so it can live in a testing/synctest bubble.
package storetest
