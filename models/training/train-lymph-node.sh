#!/usr/bin/env bash
# Trains, calibrates and brings in the experimental lymph-node model: models/training/train-lymph-node.sh
# Stopped, it goes on where it was. DEVICE=cuda trains on a GPU; without one two cores take about an hour.
source "$(dirname "$0")/../../scripts/common.sh"
work="$cache/training"
data="$work/lymph-node-data" out="$work/lymph-node-out" trained="$work/lymph-node"
code=models/training/lymph_node
export PYTHONPATH="models/training/shared:$code"
python="$work/venv/bin/python"
[ -d ../shared/data/ct ] || { echo "../shared/data is missing: nothing to train on." >&2; exit 3; }
install_missing python3 python3-venv
[ -x "$python" ] || python3 -m venv "$work/venv"
"$python" -m pip install --quiet --requirement models/training/requirements.txt

[ -f "$data/LIDC-IDRI-0007.npz" ] || "$python" "$code/data.py" ../shared/data "$data"
for fold in 0 1; do
    "$python" "$code/segment.py" "$data" "$out" --fold "$fold" --device "${DEVICE:-cpu}" &
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
