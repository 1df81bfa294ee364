#!/usr/bin/env python3
"""Writes testdata/golden/suv.json: SUVbw statistics of STS_001 and voxels in contours by pydicom and NumPy, without a line of Hilum.

    python3 scripts/make-golden-suv.py ../shared/data

Needs pydicom and NumPy. Activity is stored value x slope of its slice; SUVbw = activity x weight / decayed dose; the series
is corrected to Series Time, at which it was acquired. A voxel is inside of an ROI if a ray from its centre crosses the
contours of its slice an odd number of times (W. R. Franklin's test, here over all points of a slice at once).
"""
import json
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom

OUT = Path(__file__).resolve().parent.parent / "testdata" / "golden" / "suv.json"


def clock(date, time):
    return datetime.strptime(date + time.split(".")[0], "%Y%m%d%H%M%S")


def slices_of(folder):
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    return sorted(slices, key=lambda s: float(s.ImagePositionPatient[2]))


def suvbw(slices):
    first = slices[0]
    tracer = first.RadiopharmaceuticalInformationSequence[0]
    injected = clock(first.AcquisitionDate, tracer.RadiopharmaceuticalStartTime)
    elapsed_s = (clock(first.SeriesDate, first.SeriesTime) - injected).total_seconds()
    dose_bq = float(tracer.RadionuclideTotalDose)
    left_bq = dose_bq * np.exp(-np.log(2) * elapsed_s / float(tracer.RadionuclideHalfLife))
    weight_g = float(first.PatientWeight) * 1000
    activity = [s.pixel_array.astype(np.float64) * float(s.RescaleSlope) for s in slices]
    return np.stack(activity) * weight_g / left_bq, elapsed_s


def inside(contours, slices):
    first = slices[0]
    between_rows, between_columns = map(float, first.PixelSpacing)
    x0, y0 = map(float, first.ImagePositionPatient[:2])
    x = x0 + between_columns * np.arange(first.Columns)
    y = y0 + between_rows * np.arange(first.Rows)
    x, y = np.meshgrid(x, y)
    heights = np.array([float(s.ImagePositionPatient[2]) for s in slices])
    mask = np.zeros((len(slices), *x.shape), bool)
    for contour in contours:
        points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
        plane = mask[np.argmin(np.abs(heights - points[0, 2]))]
        for (ax, ay, _), (bx, by, _) in zip(points, np.roll(points, -1, axis=0)):
            crosses = (ay > y) != (by > y)
            if ay != by:
                plane ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return mask


def statistics(values):
    return {
        "voxels": int(values.size),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
        "mean": float(values.mean()),
    }


def main():
    folder = Path(sys.argv[1]) / "pet" / "STS_001"
    slices = slices_of(folder)
    suv, elapsed_s = suvbw(slices)
    structures = pydicom.dcmread(folder / "mask" / "1-1.dcm")
    names = {int(r.ROINumber): r.ROIName for r in structures.StructureSetROISequence}
    masks = {
        names[int(r.ReferencedROINumber)]: inside(r.ContourSequence, slices)
        for r in structures.ROIContourSequence
    }
    dro = Path(sys.argv[1]) / "suv" / "DRO_0_0"
    drawn = pydicom.dcmread(next((dro / "RS").glob("*.dcm"))).ROIContourSequence[0]
    golden = {
        "made_by": f"pydicom {pydicom.__version__}, NumPy {np.__version__}",
        "elapsed_s": elapsed_s,
        "whole": statistics(suv),
        "rois": {name: statistics(suv[mask]) for name, mask in masks.items()},
        "dro_0_0_contours": {"voxels": int(inside(drawn.ContourSequence, slices_of(dro / "PT")).sum())},
        "union": statistics(suv[np.logical_or.reduce(list(masks.values()))]),
    }
    OUT.write_text(json.dumps(golden, indent=2) + "\n")


if __name__ == "__main__":
    main()
