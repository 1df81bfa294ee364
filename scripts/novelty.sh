#!/usr/bin/env bash
# How often a nodule model notices that an input is odd: runs it on four series of ../shared/data/ct as they are and in eight odd
# versions (scripts/odd-inputs.py), and counts the warning unfamiliar-input. Its output is docs/models/EDITION/novelty.md.
# Takes ten minutes on two cores. usage: scripts/novelty.sh lung-nodule|lung-nodule-lite [OUT]
source "$(dirname "$0")/common.sh"
edition="${1:?lung-nodule or lung-nodule-lite}"
out="${2:-$(mktemp -d)}"
data="$(cd ../shared/data/ct && pwd)"
cases="${CASES:-LIDC-IDRI-0001 LIDC-IDRI-0007 LIDC-IDRI-0006 LIDC-IDRI-0012}"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
need_python

for case in $cases; do
    say "$case"
    rm -rf "$out/odd"
    "$python" scripts/odd-inputs.py "$data/$case" "$out/odd"
    ln -s "$data/$case" "$out/odd/as-it-is"
    for odd in "$out"/odd/*; do
        name="$(basename "$odd")"
        "$hilum" process "$odd" --out "$out/results/$name/$case" --model "$PWD/models/$edition" --device cpu || true
    done
done
rm -rf "$out/odd"
mkdir -p "docs/models/$edition"
"$python" scripts/odd-inputs.py --count "$out/results" >"docs/models/$edition/novelty.md"
cat "docs/models/$edition/novelty.md"
