#!/usr/bin/env bash
# Judges the rules for uptake on PET/CT phantoms from the vertex to the thighs: each is made, processed by `hilum process`, and
# compared with its truth. Prints the table of docs/pet-lesions.md.
# usage: scripts/pet-phantoms.sh [OUT]      SEEDS="3001 3002" scripts/pet-phantoms.sh for a try
source "$(dirname "$0")/common.sh"
out="${1:-$(mktemp -d)}"
seeds="${SEEDS:-$(seq 3001 3020)}"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
mkdir -p "$out/truth" "$out/results"

for seed in $seeds; do
    [ ! -f "$out/results/$seed.json" ] || continue
    say "Seed $seed"
    rm -rf "$out/phantom" "$out/run"
    "$hilum" phantom --pet --extent body --seed "$seed" --out "$out/phantom" >/dev/null
    "$hilum" process "$out/phantom" --out "$out/run" --device cpu >/dev/null
    cp "$out/phantom/truth.json" "$out/truth/$seed.json"
    cp "$out"/run/*/findings.json "$out/results/$seed.json"
done
rm -rf "$out/phantom" "$out/run"
python3 scripts/judge-pet.py "$out"
