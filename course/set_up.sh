#!/bin/sh
# Make the environment ready: set_up.sh PYTHON FOLDER [EXTRA]..., in the course's folder. `make` does; on Windows see docs/using.md.
# PYTHON may be empty; then one is looked for. Extras are added to what is there. uv installs if it is there, else pip.
# FOLDER/ready-core, FOLDER/ready-lab and so on hold the checksum of the versions that were installed.
set -eu
asked=$1
folder=$2
shift 2
extras=$(echo "$*" | tr ' ' ,)
names="core $(echo "$*" | tr , ' ')"
# The settings of tools, which end pyproject.toml, install nothing.
versions=$(sed '/^\[tool/,$d' pyproject.toml | cat - constraints.txt | cksum)

is_ready() {
    [ -x "$folder/bin/python" ] || return 1
    for name; do
        [ "$(cat "$folder/ready-$name" 2>/dev/null)" = "$versions" ] || return 1
    done
}

find_python() {
    # Not the python of an activated environment, which may be about to be replaced, but the one that it was made with.
    code='import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit(1); print(sys._base_executable)'
    if [ -n "$asked" ]; then
        set -- "$asked"
    else
        set -- python3 python3.13 python3.12 python3.11
    fi
    for candidate; do
        if python=$("$candidate" -c "$code" 2>/dev/null); then
            return
        fi
    done
    found=$("$1" --version 2>/dev/null || echo "no $1")
    echo "The course needs Python 3.11, 3.12 or 3.13 (for others, Keras or TensorFlow has no package), but found: $found." >&2
    echo "docs/using.md says how to get one (uv, conda). One that is there: make lab PYTHON=/path/to/python3.12" >&2
    exit 1
}

# One set-up at a time. The system frees the lock when this script and what it started have ended, however they end.
lock() {
    exec 9>"$folder.lock"
    "$python" -c "
import fcntl
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print('Waiting for another set-up of $folder to end.', flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
" || echo "This drive knows no locks: set up the course in one window only." >&2
}

# What was asked for once, such as gpu, is installed again when the versions change.
keep_extras() {
    for file in "$folder"/ready-*; do
        name=${file##*/ready-}
        case " $names * " in
        *" $name "*) ;;
        *)
            names="$names $name"
            extras=${extras:+$extras,}$name
            ;;
        esac
    done
}

# An environment that worked stays until the new one does: without network, nothing is lost.
put_aside() {
    if [ -d "$folder.old" ] && [ ! -e "$folder/ready-core" ]; then
        rm -rf "$folder" # half made by a set-up that was killed
    elif [ -d "$folder" ]; then
        rm -rf "$folder.old"
        mv "$folder" "$folder.old"
    fi
}

give_up() {
    if [ ! -e "$folder/ready-core" ]; then
        rm -rf "$folder"
        if [ -d "$folder.old" ]; then mv "$folder.old" "$folder"; fi
    fi
    echo "Setting up failed; the lines above say why. Without network: run the same command again when there is one." >&2
    echo "Other causes: a full disk; on Debian and Ubuntu, no package python3-venv; a Mac with an Intel processor, or a" >&2
    echo "system with 32 bit, for which TensorFlow has no package. python3 -m course doctor looks over this machine." >&2
}

if is_ready $names; then exit; fi
if is_ready core; then python=$folder/bin/python; else find_python; fi
lock
if is_ready $names; then exit; fi # by the one that we waited for

trap give_up EXIT
trap 'exit 130' INT TERM HUP
uv=$(command -v uv || true)
if ! is_ready core; then
    keep_extras
    echo "Setting up $folder with $("$python" --version); once: up to 800 MB to download, then a minute or two."
    put_aside
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" "$folder"
    else
        "$python" -m venv "$folder"
    fi
fi
course=.${extras:+[$extras]}
if [ -n "$uv" ]; then
    # pip, too, for those who use it in a notebook
    "$uv" pip install --compile-bytecode --python "$folder/bin/python" --constraint constraints.txt --editable "$course" pip
else
    "$folder/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable "$course"
fi
for name in $names; do echo "$versions" >"$folder/ready-$name"; done
trap - EXIT
rm -rf "$folder.old"
