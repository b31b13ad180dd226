// Package chart holds the checks of the Helm chart and of the Kustomize base: what they render is decoded strictly
// into the types of Kubernetes, Prometheus Operator, KEDA and NACK, looked at as a whole, and handed to the program
// itself. It is a module of its own, so that Kubernetes and Helm stay out of the product's.
package chart
