#!/bin/sh
# Makes testdata/phantom-chest again with `hilum phantom`; a test compares the committed files with the generator.
set -eu
cd "$(dirname "$0")/.."
cargo run --release --quiet -- phantom --preset demo --overwrite --out testdata/phantom-chest
