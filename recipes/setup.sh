# Sourced by the other scripts: creates .venv with the package and puts its commands on the PATH.
# It is safe to run again, also after an installation that was interrupted.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

# A checksum of everything that decides what is installed; if it changes, the installation runs again.
stamp="$root/.venv/installed-$(cat pyproject.toml setup.py constraints.txt \
    src/seq2seq_cli/kernels/*/*.{cpp,h} | cksum | tr ' ' '-')"

if [ ! -f "$stamp" ]; then
    for python in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null && break
        python=""
    done
    if [ -z "$python" ]; then
        echo "Python 3.11 or newer is needed and was not found; set PYTHON=/path/to/python" >&2
        exit 1
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "creating .venv with $("$python" --version)" >&2
        "$python" -m venv --clear .venv
    fi
    echo "installing into .venv (once, 3 to 15 minutes: torch is large, and the kernels of search and" \
        "training are compiled for several kinds of processors)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable '.[plots,bench,dev]'
    rm -f .venv/installed-*
    touch "$stamp"
fi
export PATH="$root/.venv/bin:$PATH"
