"""Writes odd versions of a CT series, to ask whether a model notices: python odd-inputs.py SERIES OUT

One folder each below OUT. What is odd is what a wrong header, a wrong pipeline or a strange scanner would do.
`python odd-inputs.py --count RESULTS` prints how often `hilum process` noticed, from RESULTS/KIND/CASE.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage as ndi


def noise(hu, spacing, rng):
    """Noise of 150 HU more."""
    return hu + rng.normal(0, 150, hu.shape)


def offset(hu, spacing, rng):
    """A Rescale Intercept that is wrong by 200 HU."""
    return hu + 200


def slope(hu, spacing, rng):
    """A Rescale Slope that is wrong by half."""
    return (hu + 1000) * 1.5 - 1000


def smooth(hu, spacing, rng):
    """Blurred with a standard deviation of 2 mm."""
    return ndi.gaussian_filter(hu, [2.0 / s for s in spacing])


def coarse(hu, spacing, rng):
    """Values rounded to steps of 250 HU."""
    return np.round(hu / 250) * 250


def streaks(hu, spacing, rng):
    """Bands of 150 HU through every slice, each at its own angle."""
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]] * spacing[1]
    angles = rng.uniform(0, np.pi, len(hu))
    return hu + 150 * np.stack([np.sin((x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / 8) for a in angles])


def thick(hu, spacing, rng):
    """Slices of 10 mm where 2.5 mm were: each the mean of four, repeated."""
    means = [hu[i : i + 4].mean(0) for i in range(0, len(hu), 4)]
    return np.repeat(np.stack(means), 4, 0)[: len(hu)]


def negative(hu, spacing, rng):
    """The lungs' own contrast turned over: vessels darker than the parenchyma."""
    return np.where(hu < -300, np.clip(-1700 - hu, -1024, -500), hu)


ODD = [noise, offset, slope, smooth, coarse, streaks, thick, negative]


def read(folder):
    slices = [pydicom.dcmread(p) for p in sorted(folder.glob("*.dcm"))]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])
    spacing = [float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2]), *map(float, slices[0].PixelSpacing)]
    return slices, hu, spacing


def write(slices, hu, folder, name):
    folder.mkdir(parents=True)
    study, series = (generate_uid(entropy_srcs=[slices[0].SeriesInstanceUID, name, role]) for role in ("study", "series"))
    for i, (source, values) in enumerate(zip(slices, hu)):
        stored = np.round((values - float(source.RescaleIntercept)) / float(source.RescaleSlope))
        source.PixelData = np.clip(stored, -32768, 32767).astype(np.int16).tobytes()
        source.PixelRepresentation, source.BitsStored, source.HighBit = 1, 16, 15
        for tag in ("PixelPaddingValue", "SmallestImagePixelValue", "LargestImagePixelValue"):
            source.pop(tag, None)
        source.StudyInstanceUID, source.SeriesInstanceUID = study, series
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(i)])
        source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        source["PixelData"].VR = "OW"
        source.save_as(folder / f"{i:04}.dcm")


def make_all(folder, out):
    slices, hu, spacing = read(folder)
    for make in ODD:
        write(slices, make(hu, spacing, np.random.default_rng(1)), out / make.__name__, make.__name__)


def count(results):
    """A row for each kind: of how many series the model said that they are unfamiliar, and what was not run."""
    print("# What the model notices of odd inputs\n")
    print("Made by `scripts/novelty.sh`: four series of LIDC-IDRI, as they are and changed; *noticed* has the warning")
    print("`unfamiliar-input`.\n")
    print("| series | noticed | not run at all | what was changed |\n| --- | --- | --- | --- |")
    kinds = {"as-it-is": "Nothing: a warning here is a false alarm."} | {make.__name__: make.__doc__ for make in ODD}
    for kind, meaning in kinds.items():
        studies = [json.loads(p.read_text()) for p in sorted((results / kind).glob("*/*/findings.json"))]
        warned = sum(any(w["code"] == "unfamiliar-input" for w in s["warnings"]) for s in studies)
        refused = sum(all(series["status"] != "done" for series in s["series"]) for s in studies)
        print(f"| {kind} | {warned} of {len(studies)} | {refused} | {meaning} |")


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        count(Path(sys.argv[2]))
    else:
        make_all(Path(sys.argv[1]), Path(sys.argv[2]))
