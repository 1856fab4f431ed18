//go:build tools

// Package tools names the programs that tests/run.sh builds: the client and the server of gRPC's own
// interoperability tests. go.mod and go.sum pin them.
package tools

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
