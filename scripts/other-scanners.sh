#!/usr/bin/env bash
# What a nodule model finds where a series is stored as other scanners and protocols would: runs it on the train series of
# ../shared/data/ct in sixteen versions (scripts/other-scanners.py) and evaluates each kind. Its output is
# docs/models/EDITION/other-scanners.md. Takes up to an hour on two cores with the lite edition. usage: scripts/other-scanners.sh lung-nodule|lung-nodule-lite [OUT]
source "$(dirname "$0")/common.sh"
edition="${1:?lung-nodule or lung-nodule-lite}"
out="${2:-$(mktemp -d)}"
data="$(cd ../shared/data/ct && pwd)"
cases="${CASES:-LIDC-IDRI-0001 LIDC-IDRI-0003 LIDC-IDRI-0005 LIDC-IDRI-0007}"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
need_python

for case in $cases; do
    [ -d "$out/results/tilted/$case" ] && continue
    say "$case"
    rm -rf "$out/series"
    "$python" scripts/other-scanners.py "$data/$case" "$data/$case.truth.json" "$out"
    for kind in "$out"/series/*; do
        "$hilum" process "$kind" --out "$out/results/$(basename "$kind")/$case" --model "$PWD/models/$edition" --device cpu
    done
done
rm -rf "$out/series"
for kind in "$out"/truth/*; do
    name="$(basename "$kind")"
    "$hilum" evaluate --truth "$kind" --results "$out/results/$name" --out "$out/evaluation/$name" --overwrite
done
{
    echo '# The same patients, stored as other scanners would'
    echo
    echo "Made by \`scripts/other-scanners.sh $edition\`: $(wc -w <<<"$cases") series of LIDC-IDRI (${cases//LIDC-IDRI-/}), as they are and stored anew. They are"
    echo 'those that the model was trained on: the table shows what a protocol changes, not how well patients never seen fare. At'
    echo 'confidence 0.5; nodules of three or more readers.'
    echo
    "$python" scripts/other-scanners.py --count "$out"
} >"docs/models/$edition/other-scanners.md"
cat "docs/models/$edition/other-scanners.md"
