#!/usr/bin/env bash
# Every check of the project, on a Debian machine with Rust: `tests/run.sh`.
# `tests/run.sh quick` leaves out what takes minutes: for the loop of writing.
#
# Installs what the tests use and the machine lacks: Debian packages (as root or through sudo),
# cargo-deny and the manifests of the Gateway API's conformance suite (into target/tools). Stops at
# the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CARGO_DENY=0.20.2
# the module with the manifests, and its checksum as go.sum has it
readonly CONFORMANCE=sigs.k8s.io/gateway-api/conformance@v1.6.1
readonly CONFORMANCE_SUM=h1:hjJJBYhGlLLDAkpbiL8wYP2JmTbc5D6t/DromATFXbI=
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
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    if [ -z "${apt_updated:-}" ]; then
        "${root[@]}" apt-get update -q >/dev/null
        apt_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -yq "$1" >/dev/null
}

# of Debian's Python, which may not be the first in the path; the package may have another name
need_module() {
    need_package /usr/bin/python3 python3
    /usr/bin/python3 -c "import $1" 2>/dev/null || install "$2"
}

# Into target/tools/gomod, where tests/gateway looks for it. The checksum is ours to compare, so
# that no database needs to be asked, and any version of Go will do.
need_conformance() {
    need_package go golang-go
    local told
    told=$(GOMODCACHE=$PWD/target/tools/gomod GOFLAGS=-modcacherw GOTOOLCHAIN=local GOSUMDB=off \
        go mod download -json "$CONFORMANCE")
    if ! grep -qF "\"Sum\": \"$CONFORMANCE_SUM\"" <<<"$told"; then
        printf '%s has another checksum than %s:\n%s\n' "$CONFORMANCE" "$CONFORMANCE_SUM" "$told" >&2
        exit 1
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
need_package musl-gcc musl-tools
need_module dns python3-dnspython
need_module prometheus_client python3-prometheus-client
need_module httpx python3-httpx
need_module h2 python3-h2
# thousands of connections are held open at once
ulimit -n "$(ulimit -Hn)"

section "format"
cargo fmt --check

section "lints"
cargo clippy --locked --all-targets -- -D warnings

if [ "$quick" = quick ]; then
    section "unit tests and tidiness"
    cargo test --locked --lib --bins --test tidy
    exit 0
fi

section "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

section "tests"
need_conformance
cargo test --locked --no-fail-fast

section "control plane, a tenth of its size"
cargo bench --locked --bench control -- --quick

section "names: changes on the wire, and upstreams that fail"
cargo bench --locked --bench dns -- --quick

section "a look-up of a route allocates nothing"
cargo bench --locked --bench routes -- --quick

section "dependencies: bans, licences, sources"
# advisories are left out: their database is a git repository, and the tests use no network
if [ "$(target/tools/bin/cargo-deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
    cargo install --locked --debug --root target/tools --version "$CARGO_DENY" cargo-deny
fi
target/tools/bin/cargo-deny check bans licenses sources
