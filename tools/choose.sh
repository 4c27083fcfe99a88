#!/bin/sh
# Says which generation of TFX this machine gets, and which Python it runs on, as three lines:
#
#   GENERATION=1.21
#   VERSION=3.13
#   PYTHON=/usr/bin/python3.13
#
# PYTHON is empty where no Python that would do was found: tools/setup.sh then has uv install one.
# Where nothing can be chosen, one line on stderr says why, and the exit code is 1.
#
# The variables GENERATION and PYTHON of the environment override the choice.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# What the wheels of TFX 1.21 are built for: ml-metadata's are tagged so.
NEEDED_GLIBC=2.39
NEEDED_LIBSTDCXX=GLIBCXX_3.4.32

fail() {
  echo "make: $*" >&2
  exit 1
}

# Whether the first version, like 2.41, is the second or a newer one.
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# The versions of Python that a generation has a lock for, those first that it is tested on most.
versions_of() {
  for version in 3.12 3.13 3.11 3.10; do
    if [ -f "$(lock_of "$1" "$version")" ]; then echo "$version"; fi
  done
}

lock_of() {
  echo "$ROOT/locks/tfx-$1-py$(echo "$2" | tr -d .).txt"
}

system_glibc() {
  getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p'
}

# The C++ library that the loader finds: its versions stand in it as text.
system_libstdcxx_is_new() {
  library=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null |
    sed -n '/libstdc++\.so\.6 .*x86-64/s/.* => //p' | head -n 1)
  [ -n "$library" ] && grep -aq "$NEEDED_LIBSTDCXX" "$library"
}

# A Python says itself which glibc it runs with: it may have brought its own.
glibc_of_python() {
  "$1" -c 'import os; print(os.confstr("CS_GNU_LIBC_VERSION").split()[1])' 2>/dev/null || true
}

version_of_python() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# Whether a program is CPython of a version, and can compile what comes as source only (pyfarmhash).
is_usable() {
  "$1" - "$2" 2>/dev/null <<'PROGRAM'
import pathlib, platform, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
header = pathlib.Path(sysconfig.get_path("include")) / "Python.h"
sys.exit(not (platform.python_implementation() == "CPython" and version == sys.argv[1] and header.exists()))
PROGRAM
}

# The interpreter itself: not pyenv's shim, and not the one of an environment that is active.
interpreter_of() {
  "$1" - <<'PROGRAM'
import sys
of_environment = "%s/bin/python%d.%d" % ((sys.base_prefix,) + sys.version_info[:2])
print(sys.executable if sys.prefix == sys.base_prefix else of_environment)
PROGRAM
}

# Every program that may be Python of a version: those on PATH, and pyenv's.
candidates() {
  command -v "python$1" || true
  command -v python3 || true
  for directory in "${PYENV_ROOT:-${HOME:-/root}/.pyenv}/versions/$1".*; do
    if [ -x "$directory/bin/python$1" ]; then echo "$directory/bin/python$1"; fi
  done
}

find_python() {
  for candidate in $(candidates "$1"); do
    if is_usable "$candidate" "$1"; then
      interpreter_of "$candidate"
      return
    fi
  done
}

choose_generation() {
  if at_least "$(system_glibc)" "$NEEDED_GLIBC" && system_libstdcxx_is_new; then
    echo 1.21
  else
    echo 1.16
  fi
}

# For a Python that was named: the newest generation that has a lock for it and loads in it.
choose_generation_for() {
  if [ -f "$(lock_of 1.21 "$2")" ] && at_least "$(glibc_of_python "$1")" "$NEEDED_GLIBC"; then
    echo 1.21
  else
    echo 1.16
  fi
}

listed() {
  echo "$*" | sed 's/ /, /g; s/\(.*\), /\1 or /'
}

choose_with_python() {
  command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON: there is no such program"
  version=$(version_of_python "$PYTHON")
  [ -n "$version" ] || fail "PYTHON=$PYTHON: this program does not run, or is no Python 3"
  PYTHON=$(interpreter_of "$PYTHON")
  generation=${GENERATION:-$(choose_generation_for "$PYTHON" "$version")}
  [ -f "$(lock_of "$generation" "$version")" ] ||
    fail "PYTHON=$PYTHON is Python $version; TFX $generation needs Python $(listed $(versions_of "$generation"))"
  is_usable "$PYTHON" "$version" ||
    fail "PYTHON=$PYTHON is not CPython or has no Python.h; on Debian and Ubuntu: apt-get install python$version-dev"
  say "$generation" "$version" "$PYTHON"
}

choose_python() {
  generation=${GENERATION:-$(choose_generation)}
  for version in $(versions_of "$generation"); do
    found=$(find_python "$version")
    if [ -n "$found" ]; then
      say "$generation" "$version" "$found"
      return
    fi
  done
  say "$generation" "$(versions_of "$generation" | head -n 1)" ""
}

say() {
  if [ "$1" = 1.21 ]; then
    glibc=$(if [ -n "$3" ]; then glibc_of_python "$3"; else system_glibc; fi)
    at_least "${glibc:-0}" "$NEEDED_GLIBC" ||
      fail "TFX 1.21 needs glibc $NEEDED_GLIBC, and here is ${glibc:-none}; Debian 13 and Ubuntu 24.04 have it. Take GENERATION=1.16"
  fi
  printf 'GENERATION=%s\nVERSION=%s\nPYTHON=%s\n' "$1" "$2" "$3"
}

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
  fail "TFX runs on Linux on x86-64; this is $(uname -s) on $(uname -m)"
[ -n "$(system_glibc)" ] || fail "TFX needs glibc, which this Linux does not have"
case ${GENERATION:-} in
  "" | 1.16 | 1.21) ;;
  *) fail "GENERATION=$GENERATION: expected 1.16 or 1.21" ;;
esac
if [ -n "${PYTHON:-}" ]; then choose_with_python; else choose_python; fi
