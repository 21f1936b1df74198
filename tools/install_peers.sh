#!/usr/bin/env bash
# Put programs that others wrote beside the checkout, in .peers: tests talk to them and are skipped where they are absent.
# Needs nothing but npm for now, and is content without it.
set -uo pipefail
cd "$(dirname "$0")/.."
peers=.peers

say() { printf 'peers: %s\n' "$*" >&2; }

npm_package() {
    local name=$1 version=$2
    [ "$(node -p "require('./$peers/node_modules/$name/package.json').version" 2>/dev/null)" = "$version" ] && return
    npm install --prefix "$peers" --no-save --no-audit --no-fund --silent "$name@$version" \
        || say "$name cannot be installed; its tests are skipped"
}

mkdir -p "$peers"
if command -v npm >/dev/null && node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))'; then
    npm_package fhir-kit-client 2.0.3
else
    say "no npm with node 20 or later: the tests with fhir-kit-client are skipped"
fi
exit 0
