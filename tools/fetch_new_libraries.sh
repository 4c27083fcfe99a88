#!/bin/sh
# Fetches the C libraries of Debian 13, three packages of 7 MB, into a directory; nothing of the system
# is changed. They come from where the system's own packages do, and apt checks Debian's signature.
#
#   tools/fetch_new_libraries.sh DIRECTORY
set -eu

DIRECTORY=$1
APT=$DIRECTORY/apt

# apt-get with a list of packages of its own.
apt() {
  apt-get -qq -o "Dir::Etc::SourceList=$APT/sources.list" -o Dir::Etc::SourceParts=- \
    -o "Dir::State=$APT/state" -o "Dir::Cache=$APT/cache" -o "Dir::State::Status=$APT/status" \
    -o APT::Sandbox::User=root -o Acquire::Languages=none "$@" >&2
}

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
  grep -v -e security -e updates -e backports | head -n 1)
[ -n "$mirror" ] || {
  echo "apt-get knows no packages: apt-get update" >&2
  exit 1
}
mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial"
touch "$APT/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
  >"$APT/sources.list"
apt update
(cd "$APT" && apt download libc6 libstdc++6 libgcc-s1)
for package in "$APT"/*.deb; do dpkg-deb -x "$package" "$DIRECTORY"; done
rm -rf "$APT"
