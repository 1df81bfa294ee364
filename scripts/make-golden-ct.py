#!/usr/bin/env python3
"""Writes testdata/golden/ct.json and pet.json: what pydicom reads from the series that the tests read.

Usage: make-golden-ct.py CT_FOLDER > testdata/golden/ct.json
       make-golden-ct.py PET_FOLDER SUV_FOLDER > testdata/golden/pet.json
Needs pydicom, pylibjpeg, pylibjpeg-libjpeg, pylibjpeg-openjpeg, pylibjpeg-rle and numpy. Each subfolder of the folders holds one
series in itself or in its subfolder PT.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pydicom


def golden(folder: Path) -> dict:
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm")) + sorted(folder.glob("PT/*.dcm"))]
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column)
    slices.sort(key=lambda s: float(np.dot(normal, np.array(s.ImagePositionPatient, float))))
    positions = np.array([s.ImagePositionPatient for s in slices], float)
    between_rows, between_columns = map(float, slices[0].PixelSpacing)
    digest = hashlib.sha256()
    lowest, highest = np.inf, -np.inf
    for one in slices:
        stored = one.pixel_array
        assert stored.dtype == np.int16, stored.dtype
        digest.update(stored.astype("<i2").tobytes())
        lowest, highest = min(lowest, int(stored.min())), max(highest, int(stored.max()))
    first = slices[0]
    rescale = [(float(s.RescaleSlope), float(s.RescaleIntercept)) for s in slices]
    if len(set(rescale)) == 1:
        rescale = rescale[:1]
    return {
        "series_instance_uid": str(first.SeriesInstanceUID),
        "transfer_syntax_uid": str(first.file_meta.TransferSyntaxUID),
        "size_zyx": [len(slices), int(first.Rows), int(first.Columns)],
        "x_step_mm": (row * between_columns).tolist(),
        "y_step_mm": (column * between_rows).tolist(),
        "z_step_mm": ((positions[-1] - positions[0]) / (len(slices) - 1)).tolist(),
        "origin_lps_mm": positions[0].tolist(),
        "stored_range": [lowest, highest],
        "rescale": rescale,
        "samples_sha256": digest.hexdigest(),
    }


def main() -> None:
    folders = sorted(path for folder in sys.argv[1:] for path in Path(folder).iterdir() if path.is_dir())
    text = json.dumps({folder.name: golden(folder) for folder in folders}, indent=0)
    print(text.replace(",\n", ", ").replace('}, "', '},\n"').replace(', "', ',\n"'))


if __name__ == "__main__":
    main()
