#!/usr/bin/env bash
# On a machine with a GPU: every `gpu` test, and the kernels beside their peers, in under eight minutes; one table at the end.
#
#   benchmarks/on_a_card.sh [--wheels FOLDER] [flags of benchmarks/card.py]
#
# Takes the python3 (or $PYTHON) that has torch and triton there. What is missing beside them comes from wheels in FOLDER
# (by default benchmarks/wheels), installed without any network into a folder that is removed again; lark always, and what
# peers need: `pip download --no-deps` fetches them for the Python of that machine.
set -euo pipefail
cd "$(dirname "$0")/.."

wheels=benchmarks/wheels
if [ "${1:-}" = --wheels ]; then
    wheels=$2
    shift 2
fi
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$wheels/*.whl" >/dev/null; then
    "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m benchmarks.card "$@"
