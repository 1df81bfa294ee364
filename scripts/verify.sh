#!/usr/bin/env bash
# Runs the main job on the phantom chest, with the built-in model and with two imported nnU-Nets of random weights (a residual
# encoder; one of CT and PET, which has regions and two folds), and lets outside programs judge SR and SEG: highdicom, pydicom,
# dicom3tools and dcmtk, through ../shared/tools/verify_outputs.py. Says so loudly where that judge is not there.
source "$(dirname "$0")/common.sh"
verifier=../shared/tools/verify_outputs.py
if [ ! -e "$verifier" ]; then
    echo "SKIPPED: $verifier is missing, so no outside program judged the outputs." >&2
    exit 0
fi
install_missing dcmtk dicom3tools
need_python
build_hilum

out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
ct=testdata/phantom-chest/series

# judge RESULTS PATH...: processes the paths, then judges every study's results against them.
judge() {
    local results="$1"
    shift
    for study in "$results"/*/; do
        "$python" "$verifier" "$study" "$@" --quiet --expect-findings
    done
}

say "The built-in model"
"$hilum" process "$ct" --out "$out/built-in" --device cpu
judge "$out/built-in" "$ct"

# A PET of the CT's own voxels, in Bq/ml: an edited copy.
mkdir "$out/study"
"$python" - "$ct" "$out/study" <<'PYTHON'
import pathlib, sys
import pydicom
source, target = map(pathlib.Path, sys.argv[1:])
series = pydicom.uid.generate_uid()
for path in sorted(source.glob("*.dcm")):
    slice_ = pydicom.dcmread(path)
    slice_.save_as(target / f"ct-{path.name}")
    slice_.SOPClassUID = slice_.file_meta.MediaStorageSOPClassUID = pydicom.uid.PositronEmissionTomographyImageStorage
    slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    slice_.SeriesInstanceUID, slice_.Modality, slice_.Units = series, "PT", "BQML"
    slice_.save_as(target / f"pt-{path.name}")
PYTHON

# terms NAME KIND...: a labels.toml.
terms() {
    while [ $# -gt 0 ]; do
        local category='value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure"'
        local term='value = "52988006", scheme = "SCT", meaning = "Lesion"'
        if [ "$2" = organ ]; then
            category='value = "91723000", scheme = "SCT", meaning = "Anatomical Structure"'
            term='value = "10200004", scheme = "SCT", meaning = "Liver"'
        fi
        printf '[[labels]]\nname = "%s"\nkind = "%s"\ncategory = { %s }\ntype = { %s }\n' "$1" "$2" "$category" "$term"
        shift 2
    done
}

# imported CASE MODALITIES PATH: imports a network of testdata/nnunet, processes the path and judges.
imported() {
    say "An imported nnU-Net: $1"
    "$hilum" model import "testdata/nnunet/$1" --configuration 3d_fullres --modality "$2" --labels "$out/labels.toml" \
        --out "$out/models/$1"
    "$hilum" process "$3" --out "$out/$1" --device cpu --model "$out/models/$1" --min-confidence 0
    judge "$out/$1" "$3"
}

terms organ organ lesion pet-lesion >"$out/labels.toml"
imported residual CT "$ct"
terms whole pet-lesion core pet-lesion rim pet-lesion >"$out/labels.toml"
imported two-channel CT,PT "$out/study"
