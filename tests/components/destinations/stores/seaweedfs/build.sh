#!/bin/sh
# Builds SeaweedFS's `weed` into a directory, unless it is there: sh build.sh DIRECTORY
#
# `go install` refuses the module, so `weed` is built as a dependency of a module of three lines. That
# takes four minutes of a processor; without optimizations it takes longer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
[ ! -e weed ] || exit 0
cp "$here/go.mod" .
go build -mod=mod -o weed.unfinished github.com/seaweedfs/seaweedfs/weed >build.log 2>&1
mv weed.unfinished weed
