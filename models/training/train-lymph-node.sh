#!/usr/bin/env bash
# Trains, calibrates and brings in the experimental lymph-node model: models/training/train-lymph-node.sh
# Stopped, it goes on where it was. DEVICE=cuda trains on a GPU; without one two cores take about an hour and a half.
code=models/training/lymph_node
source "$(dirname "$0")/common.sh"
data="$work/lymph-node-data" out="$work/lymph-node-out" trained="$work/lymph-node"

[ -f "$data/LIDC-IDRI-0007.npz" ] || "$python" "$code/data.py" ../shared/data "$data"
for fold in 0 1; do
    "$python" "$code/segment.py" "$data" "$out" --fold "$fold" --device "$device" &
done
for _ in 0 1; do wait -n; done
"$python" "$code/calibrate.py" "$data" "$out"
"$python" "$code/export.py" "$out" "$trained"
build_hilum
"$hilum" model import "$trained" --out models/lymph-node --overwrite
cp "$code/CARD.md" models/lymph-node/ # what people wrote
cp "$out/left-out.json" "$code/"
"$python" models/training/shared/golden.py "$trained" models/lymph-node
"$hilum" model verify models/lymph-node
