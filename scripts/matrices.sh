#!/usr/bin/env bash
# Runs the GPU engine's tests on a software rasteriser that multiplies matrices (8 × 8, f16), which drivers of
# Debian 13's backports do and those of Debian 12 do not: in a root of that system in the cache folder, made by the first run.
# usage: scripts/matrices.sh
source "$(dirname "$0")/common.sh"
need_rust
install_missing debootstrap
root="$cache/trixie"
mirror=http://deb.debian.org/debian
inside() { as_root chroot "$root" env DEBIAN_FRONTEND=noninteractive HOME=/tmp "$@"; }
if [ ! -e "$root/made" ]; then
    say "Making a root of Debian 13 in $root"
    as_root rm -rf "$root"
    as_root debootstrap --variant=minbase trixie "$root" "$mirror"
    echo "deb $mirror trixie-backports main" | as_root tee "$root/etc/apt/sources.list.d/backports.list" >/dev/null
    inside apt-get update -q
    inside apt-get install -q -y --no-install-recommends -t trixie-backports mesa-vulkan-drivers
    inside apt-get install -q -y --no-install-recommends libvulkan1
    as_root touch "$root/made"
fi
say "Building the tests"
test=$(cargo test --release --locked --lib --no-run 2>&1 | tee /dev/stderr | sed -n 's/.*Executable unittests src\/lib.rs (\(.*\))$/\1/p')
as_root install -m 755 "$test" "$root/tmp/hilum-test"
say "Running them"
inside env REQUIRE_GPU=1 REQUIRE_MATRICES=1 VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json \
    /tmp/hilum-test engine::gpu pipeline::models the_gpu_passes_the_self_check
