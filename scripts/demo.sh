#!/usr/bin/env bash
# Installs what is missing, builds, and runs the main job on the phantom chest of testdata/.
# usage: scripts/demo.sh [OUT]     (default: out/)
source "$(dirname "$0")/common.sh"
out="${1:-out}"

need_rust
build_hilum

say "Finding lesions in testdata/phantom-chest"
"$hilum" devices
"$hilum" process testdata/phantom-chest/series --out "$out"

say "Written"
find "$out" -type f | sort
