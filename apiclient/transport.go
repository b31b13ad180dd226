package apiclient

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// NewTransport returns the transport that a client makes for itself: its every phase
// is bounded, so that a silent peer costs seconds. answer is how long response headers may take.
//
// It follows the proxy variables of the environment (HTTPS_PROXY, NO_PROXY),
// since most banks let nothing out but by a proxy.
func NewTransport(answer time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  answer,
		MaxResponseHeaderBytes: 64 << 10,
		// Shorter than the keep-alive of common gateways (60 s and more): we
		// close first, and no creation is written into a connection that the
		// other side is closing.
		IdleConnTimeout:     30 * time.Second,
		MaxIdleConns:        128,
		MaxIdleConnsPerHost: 64, // a worker's default slots: as many calls at a time
		ForceAttemptHTTP2:   true,
		HTTP2: &http.HTTP2Config{
			// A connection that went dead without a word is found out by a ping.
			SendPingTimeout:  15 * time.Second,
			PingTimeout:      10 * time.Second,
			WriteByteTimeout: 10 * time.Second,
		},
	}
}
