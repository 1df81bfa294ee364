#!/usr/bin/env bash
# Measures Hilum against its peers on this machine, in one run, in environments that it sets up by itself.
# usage: scripts/peers.sh                       all of these
#        scripts/peers.sh reading [CODEC...]    300 slices in every codec (explicit implicit rle jpeg-70 ...), one thread:
#                                               pydicom with its plugins, SimpleITK
#        scripts/peers.sh preprocessing         a thorax to 1 mm, on one thread and on all: SimpleITK
#        scripts/peers.sh network [THREADS [light|full...]]    a patch of 96³ voxels: PyTorch, ONNX Runtime
#        scripts/peers.sh nnunet [THREADS [ROUNDS]]            an imported nnU-Net on a whole CT: nnU-Net's predictor
source "$(dirname "$0")/common.sh"
what="${1:-all}"
shift || true
case "$what" in
all | reading | preprocessing | network | nnunet) ;;
*) sed -n '2,/^source/{/^#/p}' "$0" >&2; exit 2 ;;
esac
need_rust
install_missing python3-venv
build_hilum
work="$cache/peers"
mkdir -p "$work"

# environment NAME REQUIREMENTS: a Python with what a file names.
environment() {
    local venv="$cache/$1"
    [ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
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
    environment peers-venv benches/peers/requirements.txt
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
    environment peers-venv benches/peers/requirements.txt
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
    environment peers-network-venv benches/peers/requirements-network.txt
    say "The network"
    "$python" benches/peers/network.py "$hilum" "$work" "$@"
}

nnunet() {
    say "Installing nnU-Net (the first time it fetches about 3 GB)"
    environment nnunet-venv models/training/nnunet/requirements.txt
    local name="LIDC-IDRI-0003" source="../shared/data/ct/LIDC-IDRI-0003"
    if [ ! -d "$source" ]; then
        phantom
        name="phantom (hilum phantom --preset adult)" source="$work/phantom/series"
    fi
    say "An nnU-Net of 128³ patches on: $name"
    PYTHONWARNINGS=ignore "$python" benches/peers/nnunet.py "$hilum" "$work" "$source" "$@"
}

case "$what" in
all)
    reading
    preprocessing
    network
    nnunet
    ;;
*) "$what" "$@" ;;
esac
