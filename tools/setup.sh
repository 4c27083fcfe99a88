#!/bin/sh
# Makes the environment in .venv, or brings it up to date: `make` calls it where something changed.
#
# tools/choose.sh says which TFX and which Python. What it chose is remembered in the stamp, and taken
# again the next time; GENERATION=1.16|1.21 and PYTHON=/path/to/python choose anew.
set -eu

TOOLS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$TOOLS")
VENV=$ROOT/.venv
# Written last: an interrupted set-up has a file of the other name, and is not taken for a finished one.
READY=$VENV/.ready
UNFINISHED=$VENV/.unfinished
# Where uv lies until the environment has its own.
BOOTSTRAP=$ROOT/.uv

fail() {
  echo "make: $*" >&2
  exit 1
}

# The value of a name in lines like PYTHON=/usr/bin/python3.13.
value() {
  sed -n "s/^$1=//p"
}

remembered() {
  cat "$READY" "$UNFINISHED" 2>/dev/null || true
}

# Reads what tools/choose.sh said.
take() {
  GENERATION=$(echo "$1" | value GENERATION)
  VERSION=$(echo "$1" | value VERSION)
  PYTHON=$(echo "$1" | value PYTHON)
  LOCK=$ROOT/locks/tfx-$GENERATION-py$(echo "$VERSION" | tr -d .).txt
}

choose() {
  sh "$TOOLS/choose.sh"
}

# What was chosen before, where that can still be taken.
choose_again() {
  python=$(remembered | value PYTHON | tail -n 1)
  [ -n "$python" ] || return 1
  GENERATION=$(remembered | value GENERATION | tail -n 1) PYTHON=$python choose 2>/dev/null
}

choose_or_remember() {
  if [ -n "$ASKED" ] || ! chosen=$(choose_again); then
    chosen=$(choose)
  fi
  take "$chosen"
}

# Whether all is done: `make GENERATION=1.21` comes here each time, and plain `make` if something changed.
is_up_to_date() {
  [ -n "$ASKED" ] && [ -f "$READY" ] && [ "$(cat "$READY")" = "$chosen" ] &&
    [ -z "$(find "$ROOT/setup.py" "$ROOT"/locks/tfx-* "$TOOLS" -newer "$READY")" ]
}

# uv as the lock has it, with its digests.
pinned_uv() {
  awk '/^uv==/ {inside = 1} /^ *# via/ {inside = 0} inside' "$LOCK"
}

# A Python that has pip, of any version: uv does not depend on it.
python_with_pip() {
  for candidate in "$PYTHON" python3; do
    if "$candidate" -m pip --version >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# A bare Debian has no pip; root may install it.
pip_by_apt() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  echo "make: apt-get install python3-pip: uv comes by pip" >&2
  apt-get update -qq >&2 || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends python3-pip >/dev/null || return 1
  python_with_pip
}

get_uv() {
  if [ -x "$VENV/bin/uv" ]; then
    UV=$VENV/bin/uv
    return
  fi
  UV=$BOOTSTRAP/bin/uv
  if [ -x "$UV" ]; then return; fi
  installer=$(python_with_pip || pip_by_apt) ||
    fail "uv comes from PyPI by pip, which is not here: apt-get install python3-pip"
  mkdir -p "$BOOTSTRAP"
  pinned_uv >"$BOOTSTRAP/uv.txt"
  "$installer" -m pip install --quiet --disable-pip-version-check --target "$BOOTSTRAP" \
    --require-hashes --requirement "$BOOTSTRAP/uv.txt"
}

# Python of uv's own makers, built for any Linux; it comes from GitHub into the user's home.
python_by_uv() {
  "$UV" python install --quiet "$VERSION" 2>/dev/null &&
    "$UV" python find --no-project --managed-python "$VERSION"
}

# Installs the system's own Python and its headers, if we may and TFX of this generation runs on it.
python_by_apt() {
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" = 0 ]; then apt-get update -qq >&2 || return 1; fi
  offered=$(apt-cache policy python3 | sed -n 's/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p')
  [ -f "$ROOT/locks/tfx-$1-py$(echo "$offered" | tr -d .).txt" ] || return 1
  if [ "$(id -u)" = 0 ]; then
    echo "make: apt-get install python3-dev: the system's Python $offered" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends python3-dev >/dev/null || return 1
  fi
  command -v "python$offered"
}

# On an old Debian: the system's Python, with newer C libraries beside it, runs TFX 1.21.
python_with_new_libraries() {
  [ -z "$ASKED" ] && [ "$GENERATION" = 1.16 ] && command -v dpkg-deb >/dev/null || return 1
  base=$(python_by_apt 1.21) || return 1
  echo "make: no Python $VERSION for TFX 1.16; TFX 1.21 gets C libraries of Debian 13, 23 MB in .python" >&2
  sh "$TOOLS/python_with_new_libraries.sh" "$base" "$ROOT/.python" "$UV"
}

get_python() {
  if [ -n "$PYTHON" ]; then return; fi
  echo "make: no Python for TFX $GENERATION on PATH or in pyenv; uv is asked for Python $VERSION" >&2
  PYTHON=$(python_by_uv || python_by_apt "$GENERATION" || python_with_new_libraries) ||
    fail "TFX $GENERATION needs Python $VERSION: put python$VERSION on PATH" \
      "(make PYTHON=/path/to/python$VERSION), or have pyenv install it (pyenv install $VERSION)," \
      "or let uv download it, which needs github.com and did not work now"
  take "$(GENERATION=$ASKED_GENERATION choose)"
}

# An environment of another Python, or one that was made by another interpreter, is made anew.
fits() {
  "$VENV/bin/python" - "$VERSION" 2>/dev/null <<'PROGRAM' || return 1
import sys
sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])
PROGRAM
  before=$(remembered | value PYTHON | tail -n 1)
  [ -z "$before" ] || [ "$before" = "$PYTHON" ]
}

make_environment() {
  if ! fits; then
    if [ "$UV" = "$VENV/bin/uv" ]; then
      mkdir -p "$BOOTSTRAP/bin"
      cp "$UV" "$BOOTSTRAP/bin/uv"
      UV=$BOOTSTRAP/bin/uv
    fi
    rm -rf "$VENV"
    "$UV" venv --quiet --no-project --python "$PYTHON" "$VENV"
  fi
  rm -f "$READY"
  printf 'GENERATION=%s\nVERSION=%s\nPYTHON=%s\n' "$GENERATION" "$VERSION" "$PYTHON" >"$UNFINISHED"
}

announce() {
  echo "make: TFX $GENERATION on Python $VERSION ($PYTHON) in .venv"
  if [ ! -d "$VENV/lib/python$VERSION/site-packages/tensorflow" ]; then
    echo "make: about 1 GB is downloaded, unless uv has it in its cache, and 4 GB of disk are taken; it takes two to ten minutes"
  fi
}

command -v g++ >/dev/null || fail "g++ not found; one package (pyfarmhash) is compiled: apt-get install g++"
export GENERATION="${GENERATION:-}" PYTHON="${PYTHON:-}"
ASKED=$GENERATION$PYTHON
ASKED_GENERATION=$GENERATION
choose_or_remember
if is_up_to_date; then exit; fi
get_uv
get_python
announce
make_environment
# Bytecode is compiled once, here: uv does not do it by itself, and where Python may not write it every
# process would compile all of TFX anew, 20 seconds of processor time each.
"$UV" pip sync --compile-bytecode --python "$VENV/bin/python" "$LOCK"
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --editable "$ROOT"
rm -rf "$BOOTSTRAP"
mv "$UNFINISHED" "$READY"
touch "$READY"
