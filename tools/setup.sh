#!/bin/sh
# Make the virtual environment and install the book into it: sh tools/setup.sh VENV EXTRAS [PYTHON]
# Plain shell, because it has to give its one line of advice under any Python, or none.
set -eu
venv=$1 extras=$2 wanted=${3:-}

suitable() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ ! -x "$venv/bin/python" ]; then
    python=
    # A version manager's stub may stand on PATH and not run: each candidate is tried, not just looked for.
    for candidate in ${wanted:-python3 python3.13 python3.12 python3.11}; do
        if suitable "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "error: the book needs Python 3.11 or newer, found: $("${wanted:-python3}" --version 2>&1 | tail -n 1); install one, or name it: make PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    echo "set-up: new virtual environment $venv with $("$python" --version)"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        echo "error: $python cannot make virtual environments; install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2
        exit 1
    fi
elif ! suitable "$venv/bin/python"; then
    echo "error: $venv holds $("$venv/bin/python" --version 2>&1 | tail -n 1), the book needs Python 3.11 or newer; remove the folder $venv and try again" >&2
    exit 1
fi

echo "set-up: installing the book with the versions of constraints.txt into $venv (minutes the first time)"
"$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]"
echo "set-up: done"
