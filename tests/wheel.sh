#!/usr/bin/env bash
# Builds a wheel and translates with it where there is neither torch nor a compiler, in an
# environment of its own. After recipes/quickstart.sh, whose run it translates with:
#
#     bash tests/wheel.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/setup.sh"

run=$root/runs/quickstart
test=$root/runs/quickstart-corpus/test.en
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder" .
python -m venv "$folder/environment"
install() {
    "$folder/environment/bin/pip" install --quiet --disable-pip-version-check "$@"
}
install --constraint constraints.txt numpy safetensors sentencepiece typer rich
install --no-deps "$folder"/*.whl

cd "$folder" # not in the sources, so that the package is the wheel's
export PATH="$folder/environment/bin:/usr/bin:/bin" CC=false CXX=false
if python -c "import torch" 2>/dev/null; then
    echo "torch is installed, so that nothing is shown" >&2
    exit 1
fi
seq2seq info "$run" | grep -i kernels
seq2seq translate "$run" --input "$test" --output translated.de
cmp translated.de "$root/runs/quickstart-corpus/translated.de"
echo "$(basename "$folder"/*.whl) translates without torch and without a compiler"
