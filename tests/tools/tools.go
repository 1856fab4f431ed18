//go:build tools

// Package tools names the programs, so that go.mod keeps them.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
