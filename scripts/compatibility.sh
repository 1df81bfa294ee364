#!/usr/bin/env bash
# Reads every file of testdata/codecs (and ../shared/data, where it is) and writes the codec table of docs/compatibility.md.
source "$(dirname "$0")/common.sh"

need_rust
WRITE_DOCS=1 cargo test --release --locked --lib dicom::codec_table
git diff --stat -- docs/compatibility.md
