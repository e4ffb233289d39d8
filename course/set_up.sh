#!/bin/sh
# Make the environment: set_up.sh PYTHON FOLDER EXTRAS. PYTHON may be empty; then one is looked for.
# uv installs if it is there, else pip. `make` calls this; on Windows see the README.
set -eu
asked=$1
folder=$2
extras=${3:-lab,test}
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

if [ -n "$asked" ]; then
    set -- "$asked"
else
    set -- python3 python3.13 python3.12 python3.11
fi
python=
for candidate; do
    if "$candidate" -c "$fits" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$("$1" --version 2>&1 || true)
    echo "The course needs Python 3.11, 3.12 or 3.13 (Keras 3.15 does not exist for older ones), but found: $found." >&2
    echo "Install one of them, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

# An environment that worked stays until the new one does: without network, nothing is lost.
old=$folder.old
rm -rf "$old"
if [ -d "$folder" ]; then mv "$folder" "$old"; fi
restore() {
    rm -rf "$folder"
    if [ -d "$old" ]; then mv "$old" "$folder"; fi
    echo "Setting up failed. It needs the network once; run the same command again when there is one." >&2
}
trap restore EXIT

echo "Setting up $folder with $("$python" --version); this takes a minute or two, once."
if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --python "$(command -v "$python")" "$folder"
    uv pip install --quiet --compile-bytecode --python "$folder/bin/python" --constraint constraints.txt --editable ".[$extras]"
else
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]"
fi
trap - EXIT
rm -rf "$old"
