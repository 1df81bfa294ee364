#!/usr/bin/env python3
"""Compares the preprocessing of one thorax with SimpleITK: HU, resampling to 1 mm, normalising; equal threads, one run.

Usage: preprocess.py CT_FOLDER EXECUTABLE [THREADS]

CT_FOLDER holds the slices of one series, EXECUTABLE is benches/peers/preprocess.rs, built by
`cargo build --release --bench preprocess`. Both sides start from decoded slices in memory and end with the same voxels: the
same grid, trilinear, edge voxels repeated for half a voxel, -1024 HU beyond. That they agree is checked first. The median wall
time counts, and the CPU time beside it: on a busy machine only the latter means something.
Needs SimpleITK and numpy.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK

REPEAT = 5
BACKGROUND_HU = -1024.0
LOWER_HU, UPPER_HU, CENTRE_HU, HALF_WIDTH_HU = -1000.0, 400.0, -300.0, 700.0

# Of the normalised value, which goes from -1 to 1: 0.35 HU. One side computes positions in single precision.
TOLERANCE = 5e-4
# Voxels on the last half voxel's edge may be background on one side only.
MAX_SHARE_BEYOND = 1e-4


def read_stored(folder: str) -> tuple[SimpleITK.Image, float, float]:
    """The slices as stored, and the slope and intercept that make them HU."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    reader.MetaDataDictionaryArrayUpdateOn()
    reader.LoadPrivateTagsOn()
    hu = reader.Execute()
    slope, intercept = (float(reader.GetMetaData(0, key)) for key in ("0028|1053", "0028|1052"))
    stored = SimpleITK.ShiftScale(hu, shift=-intercept, scale=1 / slope, outputPixelType=SimpleITK.sitkInt16)
    return stored, slope, intercept


def chain(stored: SimpleITK.Image, slope: float, intercept: float, grid: dict) -> SimpleITK.Image:
    hu = SimpleITK.ShiftScale(stored, shift=intercept / slope, scale=slope, outputPixelType=SimpleITK.sitkFloat32)
    resampled = SimpleITK.Resample(
        hu,
        grid["size"][::-1],
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        grid["origin_lps_mm"],
        (1.0, 1.0, 1.0),
        np.eye(3).ravel().tolist(),
        BACKGROUND_HU,
    )
    return SimpleITK.IntensityWindowing(
        resampled,
        windowMinimum=LOWER_HU,
        windowMaximum=UPPER_HU,
        outputMinimum=(LOWER_HU - CENTRE_HU) / HALF_WIDTH_HU,
        outputMaximum=(UPPER_HU - CENTRE_HU) / HALF_WIDTH_HU,
    )


def peer_ms(work) -> tuple[float, float]:
    """Median wall time and mean CPU time."""
    walls, cpu = [], time.process_time()
    for _ in range(REPEAT):
        start = time.perf_counter()
        work()
        walls.append((time.perf_counter() - start) * 1e3)
    return statistics.median(walls), (time.process_time() - cpu) * 1e3 / REPEAT


def run_ours(command: list[str], threads: str) -> tuple[dict, float]:
    """What it printed, and its CPU time with the reading of the files."""

    def children_ms() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (usage.ru_utime + usage.ru_stime) * 1e3

    before = children_ms()
    environment = os.environ | {"RAYON_NUM_THREADS": threads}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(run.stdout), children_ms() - before


def check_equal(ours: np.ndarray, peer: np.ndarray) -> str:
    difference = np.abs(ours - peer)
    share = float((difference > TOLERANCE).mean())
    if share > MAX_SHARE_BEYOND:
        sys.exit(f"the results differ by more than {TOLERANCE} in {share:.2%} of the voxels")
    return f"{share:.1e} of the voxels differ by more than {TOLERANCE} of 2; the median difference is {np.median(difference):.1e}"


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, executable, threads = sys.argv[1], sys.argv[2], (sys.argv[3:] or [str(os.cpu_count())])[0]
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(int(threads))
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "voxels")
        grid, _ = run_ours([executable, folder, "1", str(output)], threads)
        voxels = np.fromfile(output, np.float32).reshape(grid["size"])
    stored, slope, intercept = read_stored(folder)
    agreement = check_equal(voxels, SimpleITK.GetArrayFromImage(chain(stored, slope, intercept, grid)))
    del voxels
    peer, peer_cpu = peer_ms(lambda: chain(stored, slope, intercept, grid))
    _, once_cpu = run_ours([executable, folder, "1"], threads)
    ours, all_cpu = run_ours([executable, folder, str(1 + REPEAT)], threads)
    cpu = (all_cpu - once_cpu) / REPEAT
    shape, size = (" × ".join(map(str, lengths)) for lengths in (stored.GetSize()[::-1], grid["size"]))
    print(f"{shape} to {size} at 1 mm, {threads} thread(s), {REPEAT} times; {agreement}.\n")
    print("| HU, resampling, normalising | wall ms | CPU ms | SimpleITK's wall time / it | CPU time |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| SimpleITK {SimpleITK.Version_VersionString()} | {peer:.0f} | {peer_cpu:.0f} | 1.0 | 1.0 |")
    resampling = f"resampling {ours['resample_ms']:.0f} ms of it"
    print(f"| hilum ({resampling}) | {ours['ms']:.0f} | {cpu:.0f} | {peer / ours['ms']:.1f} | {peer_cpu / cpu:.1f} |")


if __name__ == "__main__":
    main()
