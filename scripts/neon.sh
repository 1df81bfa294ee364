#!/usr/bin/env bash
# Runs the engine's tests on an emulated 64-bit ARM (QEMU): its NEON kernels and its portable ones. Builds everything for
# that processor first, which takes about ten minutes on two cores.
# usage: scripts/neon.sh
source "$(dirname "$0")/common.sh"
target=aarch64-unknown-linux-gnu
need_rust
install_missing qemu-user g++-aarch64-linux-gnu libc6-dev-arm64-cross
rustup target add "$target"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
cargo test --release --locked --target "$target" --lib -- engine::cpu
