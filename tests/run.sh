#!/usr/bin/env bash
# Sets everything up and runs the whole test suite. Arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/setup.sh"
exec python -m pytest "$@"
