#!/usr/bin/env bash
# Installs what the tests need, then checks format, tests, outside verifiers, the node among peers, lints and documentation.
# Shaders run on software Vulkan (lavapipe); a missing adapter is a failure.
source "$(dirname "$0")/common.sh"
export REQUIRE_GPU=1 REQUIRE_XMLLINT=1

need_rust
as_root sh scripts/install-lavapipe.sh
install_missing dcmtk dicom3tools libxml2-utils python3-venv

say "Format"
cargo fmt --check

say "Tests"
cargo test --release --locked --no-fail-fast

say "Outside verifiers on what the main job writes"
scripts/verify.sh

say "The node among real peers"
scripts/node-peers.sh
scripts/node-priors.sh

say "Lints"
cargo clippy --release --locked --all-targets --quiet -- -D warnings

say "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --quiet
say "All passed"
