#!/usr/bin/env bash
# Remakes the figures of a nodule model's card: runs it on the validate and the train series and on 500 inserted lesions,
# evaluates each, writes tables and plots below docs/models/EDITION and the short table of models/EDITION/CARD.md.
# Takes an hour on two cores. usage: scripts/cards.sh lung-nodule|lung-nodule-lite [OUT]
source "$(dirname "$0")/common.sh"
edition="${1:?lung-nodule or lung-nodule-lite}"
out="${2:-$(mktemp -d)}"
data="$(cd ../shared/data/ct && pwd)"
pages="docs/models/$edition"
[ -n "${HILUM:-}" ] && hilum="$HILUM" || build_hilum
export HILUM="$hilum" PROCESS_OPTIONS="--model $PWD/models/$edition --device cpu"

# judged NAME CASE...: the model on some series, evaluated.
judged() {
    local name="$1" case
    shift
    [ -f "$out/$name/evaluation/summary.json" ] && return
    mkdir -p "$out/$name/truth"
    for case in "$@"; do
        ln -sf "$data/$case.truth.json" "$data/$case.truth.nii.gz" "$out/$name/truth/"
        # shellcheck disable=SC2086
        "$hilum" process "$data/$case" --out "$out/$name/results" $PROCESS_OPTIONS
    done
    "$hilum" evaluate --truth "$out/$name/truth" --results "$out/$name/results" --out "$out/$name/evaluation"
}

judged validate LIDC-IDRI-0006 LIDC-IDRI-0012
judged train LIDC-IDRI-0001 LIDC-IDRI-0003 LIDC-IDRI-0005 LIDC-IDRI-0007
[ -f "$out/inserted/evaluation/summary.json" ] || scripts/insertion.sh "$out/inserted"

mkdir -p "$pages"
for name in validate train inserted; do
    cp "$out/$name/evaluation/summary.md" "$pages/$name.md"
    for plot in froc reliability size; do cp "$out/$name/evaluation/$plot.svg" "$pages/$name-$plot.svg"; done
done
python3 scripts/card.py "models/$edition/CARD.md" "$out" models/training/lung_nodule/out-of-fold.json
say "Written: models/$edition/CARD.md, $pages"
