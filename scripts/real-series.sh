#!/usr/bin/env bash
# Runs the main job on the six real chest series of ../shared/data/ct and judges it: lesions found, SR and SEG by outside
# programs, and the same bytes twice. Takes minutes; its last output is docs/real-series.md.
# usage: scripts/real-series.sh [OUT]
source "$(dirname "$0")/common.sh"
shared="$(cd ../shared && pwd)"
out="${1:-$(mktemp -d)}"
python="$cache/verify-venv/bin/python"
scripts/verify.sh
build_hilum
install_missing time
time=/usr/bin/time

# run OUT [CASE]
run() {
    "$time" -f 'wall %e s, CPU %U s, peak memory %M KiB' "$hilum" process "$shared/data/ct/${2:-}" --out "$1" --device cpu
}

{
    echo '# The main job on six real chest CT series'
    echo
    echo 'Made by `scripts/real-series.sh`: LIDC-IDRI-0001, 0003, 0005, 0007 (training series of the model), 0006, 0012 (never'
    echo 'trained on). LIDC-IDRI, CC BY 3.0. Machine: '"$("$hilum" devices | grep '^cpu')"'.'
    echo
    echo '## hilum process ../shared/data/ct --out OUT --device cpu'
    echo '```'
    run "$out/first" 2>&1 | sed "s|$out/first|OUT|; s|$shared|../shared|"
    echo '```'
    echo '## judge_lesions.py (a hit is a lesion at confidence 0.5 or more within a nodule of three or more readers)'
    echo '```'
    "$python" "$shared/tools/judge_lesions.py" "$shared/data/ct" "$out/first" || true
    echo 'nodules of four readers:'
    "$python" "$shared/tools/judge_lesions.py" "$shared/data/ct" "$out/first" --readers 4 || true
    echo '```'
    echo '## verify_outputs.py, one line a study'
    echo '```'
    for case in "$shared"/data/ct/LIDC-IDRI-*/; do
        study="$("$python" -c 'import pydicom,sys; print(pydicom.dcmread(sys.argv[1], stop_before_pixels=True).StudyInstanceUID)' "$(find "$case" -name '*.dcm' | sort | head -n 1)")"
        echo "$(basename "$case"): $("$python" "$shared/tools/verify_outputs.py" "$out/first/$study" "$case" --quiet | tail -n 1)"
    done
    echo '```'
    echo '## One study again'
    echo '```'
    run "$out/second" LIDC-IDRI-0005 >/dev/null 2>&1
    (cd "$out/second" && find . -name '*.dcm' -type f | sort | xargs sha256sum) >"$out/sums"
    (cd "$out/first" && sha256sum --check --quiet "$out/sums") && echo "$(wc -l <"$out/sums") SR and SEG files of LIDC-IDRI-0005 are identical"
    echo '```'
} | tee docs/real-series.md
