#!/usr/bin/env bash
# Make .venv from requirements.lock: with uv where it works, else with the python3 and pip of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-python3}"

say() { printf 'setup: %s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if uv --version >/dev/null 2>&1; then
    new_enough "$python" || python='>=3.11'
    say "creating .venv with uv"
    uv venv --quiet --allow-existing --python "$python" .venv
    uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
else
    new_enough "$python" || { say "Python 3.11 or later is needed; install it, or run: make setup PYTHON=/path/to/python3.12"; exit 1; }
    say "creating .venv with $("$python" --version) and pip"
    "$python" -m venv .venv || { say "python3 -m venv failed; on Debian and Ubuntu run: apt install python3-venv"; exit 1; }
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
fi
say "ready: .venv/bin/healthsync $(.venv/bin/python -c 'import healthsync; print(healthsync.__version__)')"
