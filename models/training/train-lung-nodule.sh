#!/usr/bin/env bash
# Trains, calibrates and brings in one edition of the nodule model: models/training/train-lung-nodule.sh EDITION
# EDITION: lung-nodule or lung-nodule-lite; both share what has been trained. Stopped, it goes on where it was.
# DEVICE=cuda trains on a GPU; without one two cores take two to three hours.
edition="${1:?lung-nodule or lung-nodule-lite}"
code=models/training/lung_nodule
source "$(dirname "$0")/common.sh"

# folds SCRIPT FOLD...: each fold, two at a time on one thread each.
folds() {
    local script="$1" fold
    shift
    for fold in "$@"; do
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
        "$python" "$code/$script.py" "$work/data" "$work/out" --fold "$fold" "${options[@]}" &
    done
    while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n; done
}

[ -f "$work/data/crops.npz" ] || "$python" "$code/data.py" ../shared/data "$work/data"
options=(--device "$device")
[ -f "$work/out/segmenter_all.pth" ] || folds segment 0 1 all
options=()
[ -f "$work/out/candidates_1.json" ] || folds candidates 0 1
options=(--device "$device")
[ -f "$work/out/predictions_3.npz" ] || folds classify 0 1 2 3
options=()
[ -f "$work/out/types_3.json" ] || folds nodule_types 0 1 2 3
[ -f "$work/out/inserted_3.npz" ] || folds inserted 0 1 2 3
"$python" "$code/calibrate.py" "$work/out"
[ -f "$work/out/novelty.pth" ] || "$python" "$code/novelty.py" "$work/data" "$work/out"
"$python" "$code/export.py" "$work/out" "$edition" "$work/$edition"
build_hilum
card="models/$edition/CARD.md"
[ ! -f "$card" ] || cp "$card" "$work/CARD.md"
"$hilum" model import "$work/$edition" --out "models/$edition" --overwrite
[ ! -f "$work/CARD.md" ] || mv "$work/CARD.md" "$card" # what people wrote
cp "$work/out/out-of-fold.json" models/training/lung_nodule/
"$python" models/training/shared/golden.py "$work/$edition" "models/$edition"
"$hilum" model verify "models/$edition"
