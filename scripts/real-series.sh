#!/usr/bin/env bash
# Runs the main job with both nodule models on the six real chest series of ../shared/data/ct and judges it: lesions found, SR
# and SEG by outside programs, and the same bytes twice. Takes minutes; its last output is docs/real-series.md.
# usage: scripts/real-series.sh [OUT]
source "$(dirname "$0")/common.sh"
shared="$(cd ../shared && pwd)"
out="${1:-$(mktemp -d)}"
python="$cache/verify-venv/bin/python"
scripts/verify.sh
build_hilum
install_missing time
time=/usr/bin/time

# The series alone: their folder holds label maps too.
cases=("$shared"/data/ct/LIDC-IDRI-*/)

# run OUT EDITION SERIES...
run() {
    local out="$1" edition="$2"
    shift 2
    "$time" -f 'wall %e s, CPU %U s, peak memory %M KiB' "$hilum" process "$@" --out "$out" --model "$edition" --device cpu
}

# of_edition EDITION: its chapter.
of_edition() {
    local edition="$1" results="$out/$1/first" case study
    echo "## $edition"
    echo '`hilum process ../shared/data/ct/LIDC-IDRI-* --out OUT --device cpu --model '"$edition"'`'
    echo '```'
    run "$results" "$edition" "${cases[@]}" 2>&1 | sed "s|$results|OUT|; s|$shared|../shared|"
    echo '```'
    echo '`judge_lesions.py`: a hit is a lesion at confidence 0.5 or more within a nodule of three or more readers, then of four'
    echo '```'
    "$python" "$shared/tools/judge_lesions.py" "$shared/data/ct" "$results" || true
    "$python" "$shared/tools/judge_lesions.py" "$shared/data/ct" "$results" --readers 4 | tail -n 1 || true
    echo '```'
    echo '`verify_outputs.py`, one line a study'
    echo '```'
    for case in "${cases[@]}"; do
        study="$("$python" -c 'import pydicom,sys; print(pydicom.dcmread(sys.argv[1], stop_before_pixels=True).StudyInstanceUID)' "$(find "$case" -name '*.dcm' | sort | head -n 1)")"
        echo "$(basename "$case"): $("$python" "$shared/tools/verify_outputs.py" "$results/$study" "$case" --quiet | tail -n 1)"
    done
    echo '```'
    echo 'LIDC-IDRI-0005 again'
    echo '```'
    run "$out/$edition/second" "$edition" "$shared/data/ct/LIDC-IDRI-0005" >/dev/null 2>&1
    (cd "$out/$edition/second" && find . -name '*.dcm' -type f | sort | xargs sha256sum) >"$out/$edition/sums"
    (cd "$results" && sha256sum --check --quiet "$out/$edition/sums") && echo "$(wc -l <"$out/$edition/sums") SR and SEG files are identical"
    echo '```'
}

{
    echo '# The main job on six real chest CT series'
    echo
    echo 'Made by `scripts/real-series.sh`: LIDC-IDRI-0001, 0003, 0005, 0007 (training series of the models), 0006, 0012 (never'
    echo 'trained on). LIDC-IDRI, CC BY 3.0. Machine: '"$("$hilum" devices | grep '^cpu')"'. The cards of the models have more figures.'
    for edition in lung-nodule-lite lung-nodule; do
        echo
        of_edition "$edition"
    done
} | tee docs/real-series.md
