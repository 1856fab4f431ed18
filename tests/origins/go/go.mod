// An origin by Go's net/http, for tests/smuggling; built by tests/run.sh.
module rutter.dev/tests/origins

go 1.19
