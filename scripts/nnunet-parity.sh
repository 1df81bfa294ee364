#!/usr/bin/env bash
# Remakes testdata/nnunet with nnU-Net itself, in an environment of its own (the first time that fetches about 3 GB).
# usage: scripts/nnunet-parity.sh [FOLDER]    FOLDER has the DICOM of LIDC-IDRI-0001 (The Cancer Imaging Archive)
source "$(dirname "$0")/common.sh"
ct="${1:-../shared/data/ct/LIDC-IDRI-0001}"
[ -d "$ct" ] || { echo "$ct is missing: give the folder of LIDC-IDRI-0001. Nothing was changed." >&2; exit 3; }
install_missing python3-venv
venv="$cache/nnunet-venv"
[ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement models/training/nnunet/requirements.txt

out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore
"$venv/bin/python" models/training/nnunet/resampling.py "$out/resample.safetensors"
"$venv/bin/python" models/training/nnunet/windows.py "$out/windows.safetensors"
"$venv/bin/python" models/training/nnunet/parity.py "$out" "$ct"
rm -rf testdata/nnunet
cp -r "$out" testdata/nnunet
chmod 755 testdata/nnunet
