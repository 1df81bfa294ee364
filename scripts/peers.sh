#!/usr/bin/env bash
# Measures Hilum against its peers on this machine, in one run: reading 300 slices in every codec against pydicom with its plugins
# and SimpleITK, on one thread; preprocessing a thorax against SimpleITK, on one thread and on all.
# Usage: scripts/peers.sh [CODEC...]     (explicit implicit rle jpeg-70 ...; all, unless some are named)
source "$(dirname "$0")/common.sh"
need_rust
install_missing python3-venv
venv="$cache/peers-venv"
[ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement benches/peers/requirements.txt
build_hilum

# bench NAME: the executable of a target of benches/peers.
bench() {
    cargo build --release --locked --quiet --bench "$1" --message-format=json |
        "$venv/bin/python" -c 'import json, sys
for built in map(json.loads, sys.stdin):
    if built.get("executable") and built["target"]["name"] == sys.argv[1]:
        print(built["executable"])' "$1"
}
read="$(bench read)" preprocess="$(bench preprocess)"

work="$cache/peers"
mkdir -p "$work"
[ -d "$work/phantom" ] || "$hilum" phantom --preset adult --out "$work/phantom"
source_name="LIDC-IDRI-0001" source="../shared/data/ct/LIDC-IDRI-0001"
if [ ! -d "$source" ]; then
    source_name="phantom (hilum phantom --preset adult)" source="$work/phantom/series"
fi

say "Reading 300 × 512 × 512, made of: $source_name"
"$venv/bin/python" benches/peers/codecs.py "$source" "$work/${source_name%% *}" "$read" "$@"
say "Preprocessing 300 × 512 × 512, made of: phantom (hilum phantom --preset adult)"
for threads in 1 $(nproc); do
    "$venv/bin/python" benches/peers/preprocess.py "$work/phantom/series" "$preprocess" "$threads"
done
