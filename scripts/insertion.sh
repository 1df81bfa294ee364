#!/usr/bin/env bash
# Makes and judges the set of inserted lesions (docs/insertion.md): 25 lesions with each of ten seeds into each of the two
# validate series, 500 in all; runs `hilum process` over them and, with that, `hilum evaluate`.
# OUT/truth, OUT/results and OUT/evaluation stay; each inserted series is removed when it is processed.
# usage: scripts/insertion.sh [OUT]
# To try the script: CASES="LIDC-IDRI-0005" SEEDS="1" EVALUATE=no scripts/insertion.sh
source "$(dirname "$0")/common.sh"
data="$(cd ../shared/data/ct && pwd)"
out="${1:-$(mktemp -d)}"
cases="${CASES:-LIDC-IDRI-0006 LIDC-IDRI-0012}"
seeds="${SEEDS:-$(seq 1 10)}"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
mkdir -p "$out/truth" "$out/results"

for case in $cases; do
    for seed in $seeds; do
        say "$case, seed $seed"
        inserted="$out/inserted"
        rm -rf "$inserted"
        "$hilum" phantom --into "$data/$case" --lesions 25 --seed "$seed" --avoid "$data/$case.truth.json" --out "$inserted" >/dev/null
        cp "$inserted"/*.truth.json "$inserted"/*.truth.nii.gz "$out/truth/"
        "$hilum" process "$inserted/series" --out "$out/results" ${PROCESS_OPTIONS:-}
        rm -rf "$inserted"
    done
done

[ "${EVALUATE:-yes}" = yes ] || { say "Not evaluated: $out"; exit; }
say "Evaluating"
"$hilum" evaluate --truth "$out/truth" --results "$out/results" --out "$out/evaluation"
