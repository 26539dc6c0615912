# Sourced by the findings: installs the packages given into a temporary folder, removed at the end,
# and defines `python`, which sees them alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2>/dev/null
python() { "$folder/venv/bin/python" "$@"; }
