#!/usr/bin/env bash
# Measures Hilum against its peers on this machine, in one run, in environments that it sets up by itself.
# usage: scripts/peers.sh                       all of these
#        scripts/peers.sh reading [CODEC...]    300 slices in every codec (explicit implicit rle jpeg-70 ...), one thread:
#                                               pydicom with its plugins, SimpleITK
#        scripts/peers.sh preprocessing         a thorax to 1 mm, on one thread and on all: SimpleITK
#        scripts/peers.sh network [THREADS [light|full...]]    a patch of 96³ voxels: PyTorch, ONNX Runtime
source "$(dirname "$0")/common.sh"
what="${1:-all}"
shift || true
case "$what" in
all | reading | preprocessing | network) ;;
*) sed -n '2,/^source/{/^#/p}' "$0" >&2; exit 2 ;;
esac
need_rust
install_missing python3-venv
build_hilum
work="$cache/peers"
mkdir -p "$work"

# environment NAME REQUIREMENTS: a Python with what a file of benches/peers names.
environment() {
    local venv="$cache/$1"
    [ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "benches/peers/$2"
    python="$venv/bin/python"
}

# bench NAME: the executable of a target of benches/peers.
bench() {
    cargo build --release --locked --quiet --bench "$1" --message-format=json |
        "$python" -c 'import json, sys
for built in map(json.loads, sys.stdin):
    if built.get("executable") and built["target"]["name"] == sys.argv[1]:
        print(built["executable"])' "$1"
}

phantom() {
    [ -d "$work/phantom" ] || "$hilum" phantom --preset adult --out "$work/phantom"
}

reading() {
    environment peers-venv requirements.txt
    local source_name="LIDC-IDRI-0001" source="../shared/data/ct/LIDC-IDRI-0001"
    if [ ! -d "$source" ]; then
        phantom
        source_name="phantom (hilum phantom --preset adult)" source="$work/phantom/series"
    fi
    local executable
    executable="$(bench read)"
    say "Reading 300 × 512 × 512, made of: $source_name"
    "$python" benches/peers/codecs.py "$source" "$work/${source_name%% *}" "$executable" "$@"
}

preprocessing() {
    environment peers-venv requirements.txt
    phantom
    say "Preprocessing 300 × 512 × 512, made of: phantom (hilum phantom --preset adult)"
    local threads executable
    executable="$(bench preprocess)"
    for threads in 1 $(nproc); do
        "$python" benches/peers/preprocess.py "$work/phantom/series" "$executable" "$threads"
    done
}

network() {
    say "Installing PyTorch and ONNX Runtime (the first time it fetches about 3 GB)"
    environment peers-network-venv requirements-network.txt
    say "The network"
    "$python" benches/peers/network.py "$hilum" "$work" "$@"
}

case "$what" in
all)
    reading
    preprocessing
    network
    ;;
*) "$what" "$@" ;;
esac
