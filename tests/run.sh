#!/usr/bin/env bash
# Every check of the project, on a Debian machine with Rust: `tests/run.sh`.
# `tests/run.sh quick` leaves out what takes minutes: for the loop of writing.
#
# Installs what the tests use and the machine lacks: Debian packages (as root or through sudo),
# cargo-deny, h2spec, sslyze, pebble, the manifests of the Gateway API's conformance suite, gRPC's
# interoperability tests, aioquic and the origins of tests/smuggling (into target/tools). Stops at the
# first failure.
#
# What is tested is the program that cargo builds for it; RUTTER_BINARY=target/release/rutter cargo test
# --tests tests another one, as the one that is released.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CARGO_DENY=0.20.2
readonly SSLYZE=6.3.1
readonly PEBBLE=v2.10.3
# the module with the manifests, and its checksum as go.sum has it
readonly CONFORMANCE=sigs.k8s.io/gateway-api/conformance@v1.6.1
readonly CONFORMANCE_SUM=h1:hjJJBYhGlLLDAkpbiL8wYP2JmTbc5D6t/DromATFXbI=
readonly root=$PWD
quick=${1:-}
summary=()
heading=""
started=$SECONDS

section() {
    finish
    heading=$1
    started=$SECONDS
    printf '\n== %s\n' "$heading"
}

finish() {
    if [ -n "$heading" ]; then
        summary+=("$(printf '%5ss  %s' "$((SECONDS - started))" "$heading")")
        heading=""
    fi
}

on_exit() {
    local code=$?
    if [ "$code" -ne 0 ]; then
        printf '\ntests/run.sh: FAILED in "%s" (exit %s)\n' "$heading" "$code" >&2
        return
    fi
    finish
    printf '\n'
    printf '%s\n' "${summary[@]}"
    printf 'tests/run.sh: every check passed\n'
}
trap on_exit EXIT

need_component() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        printf 'the toolchain lacks %s: rustup component add %s\n' "$1" "$2" >&2
        exit 1
    fi
}

need_package() {
    command -v "$1" >/dev/null 2>&1 || install "$2"
}

install() {
    printf 'installing %s\n' "$1"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if [ -z "${apt_updated:-}" ]; then
        "${as_root[@]}" apt-get update -q >/dev/null
        apt_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -yq "$1" >/dev/null
}

# of Debian's Python, which may not be the first in the path; the package may have another name
need_module() {
    need_package /usr/bin/python3 python3
    /usr/bin/python3 -c "import $1" 2>/dev/null || install "$2"
}

# Go with its modules in target/tools/gomod, and with checksums that are ours to compare, so that no
# database needs to be asked. Any version of Go will do.
go_here() {
    need_package go golang-go
    GOMODCACHE=$root/target/tools/gomod GOFLAGS=-modcacherw GOTOOLCHAIN=local GOSUMDB=off go "$@"
}

# Where tests/gateway looks for it.
need_conformance() {
    local told
    told=$(go_here mod download -json "$CONFORMANCE")
    if ! grep -qF "\"Sum\": \"$CONFORMANCE_SUM\"" <<<"$told"; then
        printf '%s has another checksum than %s:\n%s\n' "$CONFORMANCE" "$CONFORMANCE_SUM" "$told" >&2
        exit 1
    fi
}

# A program that tests/tools/go.mod pins, into target/tools/bin.
need_go_program() {
    (cd tests/tools && go_here build -o "$root/target/tools/bin/" "$1")
}

# The client and the server of gRPC's interoperability tests, for tests/real_clients. What is built
# says what it was built from: go.sum has the checksums.
need_grpc_interop() {
    local from program bin=$root/target/tools/bin
    from=$(cat tests/clients/grpc/go.sum tests/clients/grpc/tools.go | sha256sum)
    if [ "$(cat "$bin/grpc-interop.from" 2>/dev/null)" = "$from" ]; then
        return
    fi
    mkdir -p "$bin"
    for program in client server; do
        (cd tests/clients/grpc && go_here build -trimpath -o "$bin/grpc-interop-$program" \
            "google.golang.org/grpc/interop/$program")
    done
    printf '%s\n' "$from" >"$bin/grpc-interop.from"
}

# Python packages of these versions, into a folder of their own
need_python_packages() {
    local wanted=$1 to=$2
    cmp -s "$wanted" "$to/requirements.txt" && return
    rm -rf "$to"
    /usr/bin/python3 -m pip install -q --no-deps --only-binary :all: --target "$to" -r "$wanted"
    cp "$wanted" "$to/requirements.txt"
}

# The origins of tests/smuggling that no Debian package has at hand.
need_origins() {
    need_python_packages tests/origins/requirements.txt target/tools/origins
    (cd tests/origins/go && go_here build -trimpath -o "$root/target/tools/bin/go-origin" .)
}

# Into target/tools/sslyze, where tests/sslyze.rs looks for it.
need_sslyze() {
    local venv=target/tools/sslyze
    if ! "$venv/bin/pip" show sslyze 2>/dev/null | grep -x "Version: $SSLYZE" >/dev/null; then
        /usr/bin/python3 -m venv --clear "$venv" 2>/dev/null ||
            { install python3-venv && /usr/bin/python3 -m venv --clear "$venv"; }
        "$venv/bin/pip" install -q "sslyze==$SSLYZE"
    fi
}

# Into target/tools/bin, where tests/acme.rs looks for it.
need_pebble() {
    local module=github.com/letsencrypt/pebble/v2
    if ! go_here version -m target/tools/bin/pebble 2>/dev/null | grep -E "$module[[:space:]]+$PEBBLE" >/dev/null; then
        GOBIN=$root/target/tools/bin go_here install "$module/cmd/pebble@$PEBBLE"
    fi
}

section "tools"
need_component fmt rustfmt
need_component clippy clippy
need_package cc gcc
need_package curl curl
need_package dig dnsutils
need_package kdig knot-dnsutils
need_package chromium chromium
need_package certutil libnss3-tools
need_package ip iproute2
need_package openssl openssl
need_package musl-gcc musl-tools
# not in the path of every user
[ -x /usr/sbin/nginx ] || need_package nginx nginx-light
need_package node nodejs
need_module pip python3-pip
need_package h2load nghttp2-client
need_package slowhttptest slowhttptest
need_module dns python3-dnspython
need_module prometheus_client python3-prometheus-client
need_module httpx python3-httpx
need_module h2 python3-h2
need_module grpc python3-grpcio
need_module websockets python3-websockets
need_module brotli python3-brotli
need_module zstandard python3-zstandard
# thousands of connections are held open at once
ulimit -n "$(ulimit -Hn)"

section "format"
cargo fmt --check

section "lints"
cargo clippy --locked --all-targets -- -D warnings
cargo clippy --locked --all-targets --features http3 -- -D warnings

if [ "$quick" = quick ]; then
    section "unit tests and tidiness"
    cargo test --locked --lib --bins --test tidy
    exit 0
fi

section "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

section "tests"
need_conformance
need_go_program github.com/summerwind/h2spec/cmd/h2spec
need_grpc_interop
need_sslyze
need_pebble
need_origins
cargo test --locked --no-fail-fast

section "HTTP/3"
need_python_packages tests/clients/requirements.txt target/tools/python
cargo test --locked --features http3 --lib --test http3 --test real_clients

section "control plane, a tenth of its size"
cargo bench --locked --profile quick --bench control -- --quick

section "services: compiled whole and by one endpoint, a tenth of their size"
cargo bench --locked --profile quick --bench compile -- --quick

section "UDP flows and idle connections, a tenth of their number"
cargo bench --locked --profile quick --bench l4 -- --quick

section "names: changes on the wire, and upstreams that fail"
cargo bench --locked --profile quick --bench dns -- --quick

section "a look-up of a route allocates nothing"
cargo bench --locked --profile quick --bench routes -- --quick

section "dependencies: bans, licences, sources"
# advisories are left out: their database is a git repository, and the tests use no network
if [ "$(target/tools/bin/cargo-deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
    cargo install --locked --debug --root target/tools --version "$CARGO_DENY" cargo-deny
fi
target/tools/bin/cargo-deny check bans licenses sources
