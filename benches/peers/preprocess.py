"""Preprocessing of one thorax against SimpleITK: HU, resampling to 1 mm, normalising; equal threads, one run.

usage: preprocess.py HILUM [THREADS]      (needs SimpleITK; scripts/peers.sh sets it up)
The thorax is the phantom `hilum phantom --preset adult`; both sides start from decoded slices in memory.
"""
import json, os, statistics, subprocess, sys, tempfile, time

import SimpleITK as sitk

REPEAT = 5


def median_ms(work):
    work()
    times = []
    for _ in range(REPEAT):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def simpleitk_ms(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    stored = sitk.Cast(reader.Execute() + 1024, sitk.sitkInt16)
    spacing = stored.GetSpacing()
    size = [round(n * s) for n, s in zip(stored.GetSize(), spacing)]

    def chain():
        hu = sitk.ShiftScale(stored, shift=-1024, scale=1.0, outputPixelType=sitk.sitkFloat32)
        grid = sitk.Resample(hu, size, sitk.Transform(), sitk.sitkLinear, stored.GetOrigin(), (1.0, 1.0, 1.0), stored.GetDirection(), -1024.0)
        return sitk.ShiftScale(sitk.Clamp(grid, sitk.sitkFloat32, -1000.0, 400.0), shift=300.0, scale=1 / 700.0)

    return median_ms(chain)


def hilum_ms(hilum, threads):
    command = [hilum, "bench", "--device", "cpu", "--preset", "adult", "--no-network", "--repeat", str(REPEAT), "--json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "RAYON_NUM_THREADS": threads})
    report = json.loads(run.stdout)
    kernels = {name: figure["total_ms"] for name, figure in report["kernels"].items()}
    return kernels["resample"] + kernels["normalize"], report["stages"]["preprocess"]["warm_median_ms"]


def main():
    hilum, threads = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else str(os.cpu_count())
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(threads))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([hilum, "phantom", "--preset", "adult", "--out", folder], check=True, capture_output=True)
        peer = simpleitk_ms(os.path.join(folder, "series"))
    ours, with_masks = hilum_ms(hilum, threads)
    print(f"300 x 512 x 512 to 1 mm, {threads} threads, median of {REPEAT}, ms")
    print(f"| SimpleITK {sitk.Version_VersionString()}: HU, resample, normalise | {peer:.0f} | 1.0 |")
    print(f"| hilum: the same | {ours:.0f} | {peer / ours:.1f} |")
    print(f"| hilum: preprocessing with lung masks, as in a run | {with_masks:.0f} | {peer / with_masks:.1f} |")


main()
