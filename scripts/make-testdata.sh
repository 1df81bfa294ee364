#!/usr/bin/env bash
# Makes testdata/phantom-chest again with `hilum phantom`; a test compares the committed files with the generator.
source "$(dirname "$0")/common.sh"
build_hilum
"$hilum" phantom --preset demo --overwrite --out testdata/phantom-chest
