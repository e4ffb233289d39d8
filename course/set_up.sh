#!/bin/sh
# Make the environment: set_up.sh PYTHON FOLDER. PYTHON may be empty; then one is looked for.
# uv installs if it is there, else pip. `make` calls this; on Windows see the README.
set -eu
asked=$1
folder=$2
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

python=
for candidate in ${asked:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c "$fits" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$("${asked:-python3}" --version 2>&1 || true)
    echo "The course needs Python 3.11, 3.12 or 3.13 (Keras 3.15 does not exist for older ones), but found: $found." >&2
    echo "Install one of them, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

rm -rf "$folder"
if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --python "$(command -v "$python")" "$folder"
    install="uv pip install --quiet --python $folder/bin/python"
else
    "$python" -m venv "$folder"
    install="$folder/bin/python -m pip install --quiet --disable-pip-version-check"
fi
echo "Setting up $folder with $("$python" --version); this takes a minute or two, once."
if ! $install --constraint constraints.txt --editable ".[lab,test]"; then
    rm -rf "$folder"
    echo "Setting up failed. It needs the network once; run the same command again when there is one." >&2
    exit 1
fi
