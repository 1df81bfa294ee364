#!/usr/bin/env bash
# Measures the main job on the real chest series of ../shared/data/ct and prints the tables of docs/performance.md. Takes minutes.
# usage: scripts/real-speed.sh step     what --step 0.5, 0.75 and 1.0 cost: time, and lesions against those at 0.5
#        scripts/real-speed.sh batch    the series one after another, a process each, against one process for all
source "$(dirname "$0")/common.sh"
case "${1:-}" in
step | batch) ;;
*) sed -n '2,/^source/{/^#/p}' "$0" >&2; exit 2 ;;
esac
need_rust
need_python
build_hilum
"$python" scripts/real-speed.py "$1" "$hilum" ../shared
