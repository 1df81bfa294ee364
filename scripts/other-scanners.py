"""Writes a CT series as other scanners and protocols would have stored it: python other-scanners.py SERIES TRUTH.json OUT

One folder each below OUT/series and, in OUT/truth, the truth under the new series' UID: the patient has not moved, so the same lesions
are to be found. `python other-scanners.py --count OUT` prints what was found, from OUT/evaluation/KIND/summary.json.
"""

import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage as ndi


@dataclass
class Stack:
    """A CT stack: HU along z, y, x, and where it lies (PS3.3 C.7.6.2)."""

    hu: np.ndarray
    origin: np.ndarray
    step: np.ndarray  # from slice to slice, mm
    row: np.ndarray  # direction of growing column index
    column: np.ndarray  # direction of growing row index
    pixel_mm: tuple  # between rows, between columns
    thickness_mm: float
    intercept: int = -1024
    signed: bool = True


def as_it_is(s):
    """Nothing but the encoding, which is uncompressed in all of these."""
    return s


def spaced(s, distance_mm):
    """The stack at another slice distance, linearly interpolated."""
    old = np.linalg.norm(s.step)
    n = int((len(s.hu) - 1) * old / distance_mm) + 1
    at = np.arange(n) * distance_mm / old
    low = np.minimum(at.astype(int), len(s.hu) - 2)
    part = (at - low)[:, None, None]
    return replace(s, hu=s.hu[low] * (1 - part) + s.hu[low + 1] * part, step=s.step / old * distance_mm, thickness_mm=distance_mm)


def very_thin_slices(s):
    """Slices of 0.6 mm, interpolated."""
    return spaced(s, 0.6)


def thin_slices(s):
    """Slices of 1.25 mm, interpolated."""
    return spaced(s, 1.25)


def thicker_slices(s):
    """Slices of 3 mm, interpolated."""
    return spaced(s, 3.0)


def thick_slices(s):
    """Slices of 5 mm, each the mean of two."""
    n = len(s.hu) // 2 * 2
    return replace(s, hu=(s.hu[0:n:2] + s.hu[1:n:2]) / 2, origin=s.origin + s.step / 2, step=s.step * 2, thickness_mm=5.0)


def overlapping(s):
    """Slices of 5 mm that overlap by half: each the mean of two neighbours."""
    return replace(s, hu=(s.hu[:-1] + s.hu[1:]) / 2, origin=s.origin + s.step / 2, thickness_mm=5.0)


def sharp_kernel(s):
    """An edge-enhancing kernel: what a blur of 0.7 mm takes away is added once more."""
    return replace(s, hu=2 * s.hu - ndi.gaussian_filter(s.hu, [0, *(0.7 / p for p in s.pixel_mm)]))


def smooth_kernel(s):
    """A soft kernel: blurred in the slice with a standard deviation of 0.7 mm."""
    return replace(s, hu=ndi.gaussian_filter(s.hu, [0, *(0.7 / p for p in s.pixel_mm)]))


def low_dose(s):
    """Noise of 50 HU more, correlated over a pixel as reconstruction does it."""
    noise = ndi.gaussian_filter(np.random.default_rng(1).normal(0, 1, s.hu.shape), [0, 0.7, 0.7])
    return replace(s, hu=s.hu + noise * 50 / noise.std())


def calibration(s):
    """Every value 15 HU too high."""
    return replace(s, hu=s.hu + 15)


def large_field(s):
    """Pixels of 0.98 mm: a field of view of 500 mm."""
    hu = ndi.zoom(s.hu, [1, *(p / 0.98 for p in s.pixel_mm)], order=1, grid_mode=True, mode="nearest")
    pixel = tuple(p * o / n for p, o, n in zip(s.pixel_mm, s.hu.shape[1:], hu.shape[1:]))
    shift = s.row * (pixel[1] - s.pixel_mm[1]) / 2 + s.column * (pixel[0] - s.pixel_mm[0]) / 2
    return replace(s, hu=hu, origin=s.origin + shift, pixel_mm=pixel)


def twelve_bits(s):
    """Stored without sign, air outside of the circle at the least value, as other makers do."""
    return replace(s, hu=np.clip(s.hu, -1024, 3071), signed=False)


def feet_first(s):
    """Stored from the feet upward to the head reversed, rows mirrored: a patient who lay feet first."""
    far = s.origin + s.step * (len(s.hu) - 1) + s.row * s.pixel_mm[1] * (s.hu.shape[2] - 1)
    return replace(s, hu=s.hu[::-1, :, ::-1], origin=far, step=-s.step, row=-s.row)


def prone(s):
    """Rows and columns turned by half a turn: a patient who lay prone."""
    far = s.origin + s.row * s.pixel_mm[1] * (s.hu.shape[2] - 1) + s.column * s.pixel_mm[0] * (s.hu.shape[1] - 1)
    return replace(s, hu=s.hu[:, ::-1, ::-1], origin=far, row=-s.row, column=-s.column)


def coronal(s):
    """A coronal reformat: the stack goes from front to back, pixels of 2.5 mm along the body's axis."""
    step, up = s.column * s.pixel_mm[0], s.step / np.linalg.norm(s.step)
    top = s.origin + s.step * (len(s.hu) - 1)
    return replace(
        s, hu=s.hu[::-1].transpose(1, 0, 2), origin=top, step=step, column=-up,
        pixel_mm=(float(np.linalg.norm(s.step)), s.pixel_mm[1]), thickness_mm=s.pixel_mm[0],
    )


def tilted(s):
    """A gantry tilted by 15 degrees: slices read from the stack by interpolation, as many as lie wholly within it."""
    angle = np.radians(15)
    distance, middle = np.linalg.norm(s.step), s.hu.shape[1] // 2
    column = s.column * np.cos(angle) + s.step / distance * np.sin(angle)
    from_middle = np.arange(s.hu.shape[1]) - middle
    rise = from_middle * s.pixel_mm[0] * np.sin(angle) / distance
    slices = np.arange(np.ceil(-rise.min()), np.floor(len(s.hu) - 1 - rise.max()) + 1)
    z = slices[:, None] + rise[None, :]
    y = np.broadcast_to(middle + from_middle * np.cos(angle), z.shape)
    hu = np.stack([ndi.map_coordinates(s.hu[:, :, x], [z, y], order=1) for x in range(s.hu.shape[2])], axis=2)
    first = s.origin + s.step * slices[0] + (s.column - column) * s.pixel_mm[0] * middle
    return replace(s, hu=hu, origin=first, column=column)


KINDS = [
    as_it_is, very_thin_slices, thin_slices, thicker_slices, thick_slices, overlapping, sharp_kernel, smooth_kernel, low_dose,
    calibration, large_field, twelve_bits, feet_first, prone, coronal, tilted,
]


def read(folder):
    """The stack from the feet upward, and its first slice for the tags that stay."""
    slices = sorted((pydicom.dcmread(p) for p in folder.glob("*.dcm")), key=lambda s: float(s.ImagePositionPatient[2]))
    hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices]).astype(np.float32)
    first, last = (np.array(s.ImagePositionPatient, float) for s in (slices[0], slices[-1]))
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    pixel = tuple(float(p) for p in slices[0].PixelSpacing)
    step = (last - first) / (len(slices) - 1)
    return slices[0], Stack(hu, first, step, row, column, pixel, float(slices[0].SliceThickness))


def write(sample, stack, folder, entropy):
    """One file a slice; study and series get UIDs that follow from what is changed."""
    folder.mkdir(parents=True)
    study, series = (generate_uid(entropy_srcs=[entropy, role]) for role in ("study", "series"))
    low, high = (-32768, 32767) if stack.signed else (0, 4095)
    stored = np.clip(np.round(stack.hu - stack.intercept), low, high).astype("<i2" if stack.signed else "<u2")
    for i, pixels in enumerate(stored):
        s = pydicom.Dataset()
        for element in sample:
            if element.tag.group in (0x0008, 0x0010, 0x0018, 0x0020):
                s.add(element)
        s.file_meta = pydicom.dataset.FileMetaDataset()
        s.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        s.file_meta.MediaStorageSOPClassUID = s.SOPClassUID
        s.SOPInstanceUID = s.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(i)])
        s.StudyInstanceUID, s.SeriesInstanceUID, s.InstanceNumber = study, series, i + 1
        s.ImagePositionPatient = [f"{v:.6f}" for v in stack.origin + stack.step * i]
        s.ImageOrientationPatient = [f"{v:.6f}" for v in (*stack.row, *stack.column)]
        s.PixelSpacing = [f"{v:.6f}" for v in stack.pixel_mm]
        s.SliceThickness = stack.thickness_mm
        for tag in ("SpacingBetweenSlices", "SliceLocation", "GantryDetectorTilt", "PatientPosition"):
            s.pop(tag, None)
        s.SamplesPerPixel, s.PhotometricInterpretation = 1, "MONOCHROME2"
        s.Rows, s.Columns = pixels.shape
        s.BitsAllocated, s.BitsStored = 16, 16 if stack.signed else 12
        s.HighBit, s.PixelRepresentation = s.BitsStored - 1, int(stack.signed)
        s.RescaleIntercept, s.RescaleSlope = stack.intercept, 1
        s.PixelData = np.ascontiguousarray(pixels).tobytes()
        s["PixelData"].VR = "OW"
        s.save_as(folder / f"{i:04}.dcm", enforce_file_format=True)
    return series


def make_all(folder, truth, out):
    sample, stack = read(folder)
    case = folder.name
    for make in KINDS:
        kind = make.__name__
        series = write(sample, make(stack), out / "series" / kind / case, f"{sample.SeriesInstanceUID} {kind}")
        known = json.loads(truth.read_text()) | {"series_instance_uid": series}
        (out / "truth" / kind).mkdir(parents=True, exist_ok=True)
        (out / "truth" / kind / truth.name).write_text(json.dumps(known))
        shutil.copy(truth.with_suffix(".nii.gz"), out / "truth" / kind)


def count(out):
    """A row for each kind."""
    print("| stored as | nodules found | false positives a scan | what was changed |\n| --- | --- | --- | --- |")
    for make in KINDS:
        detection = json.loads((out / "evaluation" / make.__name__ / "summary.json").read_text())["detection"]
        found = f"{detection['found']} of {detection['nodules']}"
        rate = detection["false_positives_per_scan"]["value"]
        print(f"| {make.__name__.replace('_', ' ')} | {found} | {rate:.2f} | {make.__doc__} |")


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        count(Path(sys.argv[2]))
    else:
        make_all(*map(Path, sys.argv[1:4]))
