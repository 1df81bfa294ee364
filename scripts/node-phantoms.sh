#!/usr/bin/env bash
# Judges models/lymph-node: nodes put into two series of ../shared/data/ct that were never trained on, three times each, and six series
# as they are; prints the figures of its card. Takes about five minutes on two cores. The validate series judge and choose nothing.
# usage: scripts/node-phantoms.sh [OUT]     CASES="LIDC-IDRI-0005" SEEDS=9 scripts/node-phantoms.sh for a try on other series
source "$(dirname "$0")/common.sh"
out="${1:-$(mktemp -d)}"
data="$(cd ../shared/data/ct && pwd)"
cases="${CASES:-LIDC-IDRI-0006 LIDC-IDRI-0012}"
seeds="${SEEDS:-1 2 3}"
real="${REAL-LIDC-IDRI-0001 LIDC-IDRI-0003 LIDC-IDRI-0005 LIDC-IDRI-0006 LIDC-IDRI-0007 LIDC-IDRI-0012}"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
need_python

# find SERIES NAME: the candidates of a series, whatever their confidence, as OUT/NAME.json.
find_nodes() {
    rm -rf "$out/run"
    "$hilum" process "$1" --out "$out/run" --model lymph-node --min-confidence 0.02 --device cpu >/dev/null
    cp "$out"/run/*/findings.json "$out/$2.json"
}

mkdir -p "$out"
phantoms=() found=()
for case in $cases; do
    for seed in $seeds; do
        name="$case-seed$seed"
        say "$name"
        rm -rf "$out/phantom"
        "$python" scripts/node-phantoms.py make "$data/$case" "$out/phantom" --seed "$seed" --nodes 12
        find_nodes "$out/phantom/series" "$name"
        cp "$out/phantom/truth.json" "$out/$name.truth.json"
        phantoms+=("$out/$name.truth.json" "$out/$name.json")
    done
done
for case in $real; do
    say "$case"
    find_nodes "$data/$case" "$case"
    found+=("$out/$case.json")
done
rm -rf "$out/phantom" "$out/run"
say "Figures"
"$python" scripts/node-phantoms.py score --phantoms "${phantoms[@]}" --real "${found[@]}"
