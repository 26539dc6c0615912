# Sourced by the scripts: makes .venv with the package, and puts its commands on the PATH.
# Safe to run again, and after an install that was cut off.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

# Whatever decides what is installed; when it changes, the install runs again.
stamp="$root/.venv/installed-$(cat pyproject.toml constraints.txt src/seq2seq_cli/kernels/*/*.{cpp,h} |
    cksum | tr ' ' '-')"

if [ ! -f "$stamp" ]; then
    for python in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null && break
        python=""
    done
    if [ -z "$python" ]; then
        echo "Python 3.11 or newer is wanted; set PYTHON=/where/it/is" >&2
        exit 1
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "making .venv with $("$python" --version)" >&2
        "$python" -m venv --clear .venv
    fi
    echo "installing into .venv (some minutes the first time; torch is large)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable '.[plots,bench,dev]'
    rm -f .venv/installed-*
    touch "$stamp"
fi
export PATH="$root/.venv/bin:$PATH"
