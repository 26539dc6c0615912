#!/usr/bin/env bash
# Sets everything up and runs the whole test suite. Arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/setup.sh"
# Tests use one thread each, so as many run at once as there are processors.
exec python -m pytest -n auto --dist worksteal "$@"
