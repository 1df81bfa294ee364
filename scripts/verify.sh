#!/usr/bin/env bash
# Runs the main job on the phantom chest and lets outside programs judge its SR and SEG: highdicom, pydicom, dicom3tools and
# dcmtk, through ../shared/tools/verify_outputs.py. Says so loudly where that judge is not there.
source "$(dirname "$0")/common.sh"
judge=../shared/tools/verify_outputs.py
if [ ! -e "$judge" ]; then
    echo "SKIPPED: $judge is missing, so no outside program judged the outputs." >&2
    exit 0
fi
install_missing dcmtk dicom3tools python3-venv
venv="$cache/verify-venv"
[ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/verify-requirements.txt
build_hilum

out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
"$hilum" process testdata/phantom-chest/series --out "$out" --device cpu
for study in "$out"/*/; do
    "$venv/bin/python" "$judge" "$study" testdata/phantom-chest/series --quiet --expect-findings
done
