#!/usr/bin/env bash
# Reads every file of testdata/codecs (and ../shared/data, where it is), every odd series and every kind of object, and writes
# the tables of docs/compatibility.md.
source "$(dirname "$0")/common.sh"

need_rust
export HILUM_WRITE_DOCS=1
cargo test --release --locked --lib dicom::codec_table
cargo test --release --locked --test odd --test selection
git diff --stat -- docs/compatibility.md
