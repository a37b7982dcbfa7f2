#!/bin/sh
# The tour of `make demo`: a diagram is shown, checked, compiled, and run on a molecule. Needs `fusionc` on the PATH.
set -eu
cd "$(dirname "$0")"
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT

step() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

step '$ cat three_body.fus'
cat three_body.fus

step '$ fusionc check three_body.fus'
fusionc check three_body.fus 2>&1

step 'A mistake is caught before anything runs:  e[u] in 0e + 1o + 6e'
sed 's/in 0e + 1o + 2e/in 0e + 1o + 6e/' three_body.fus | fusionc check - 2>&1 || true

step '$ fusionc compile three_body.fus -o three_body.py     (the last lines of the module)'
fusionc compile three_body.fus -o "$generated/three_body.py"
tail -n 14 "$generated/three_body.py"

step '$ fusionc run three_body.fus --xyz ethanol.xyz'
fusionc run three_body.fus --xyz ethanol.xyz

step 'With sites the sum over neighbours is part of the module: its square costs per pair what one message costs'
sed -n '/^diagram density_squared/,/^}/p' neighbours.fus

step '$ fusionc run neighbours.fus --diagram density_squared --xyz ethanol.xyz'
fusionc run neighbours.fus --diagram density_squared --xyz ethanol.xyz
