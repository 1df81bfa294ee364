#!/usr/bin/env python3
"""Compares the reading of a CT series in every codec with pydicom (each of its plugins) and SimpleITK.

Usage: codecs.py CT_FOLDER WORK_FOLDER [READ_EXECUTABLE] [CODEC...]

CT_FOLDER holds the slices of one real series; 300 slices of it are written to WORK_FOLDER in each codec. READ_EXECUTABLE is
benches/peers/read.rs, built by `cargo build --release --bench read`. Everyone runs on one thread and in turns, three times; the
least CPU time and the least wall time count. A peer's imports are not counted; our process's start is.
Needs pydicom, pylibjpeg with its libjpeg, openjpeg and rle plugins, pyjpegls, python-gdcm, SimpleITK, imagecodecs and numpy.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

import imagecodecs
import numpy as np
import pydicom
import SimpleITK
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID

SLICES = 300
TURNS = 3


def as_12_bits(stored: np.ndarray) -> np.ndarray:
    return np.clip(stored.astype(np.int32) + 1024, 0, 4095).astype(np.uint16)


def as_8_bits(stored: np.ndarray) -> np.ndarray:
    return np.clip((stored.astype(np.int32) + 1024) // 8, 0, 255).astype(np.uint8)


def raw(stored: np.ndarray) -> np.ndarray:
    return stored.view(np.uint16)


# Transfer syntax, bits, samples of a slice, and the encoder; none for native.
CODECS = {
    "explicit": ("1.2.840.10008.1.2.1", 16, None),
    "implicit": ("1.2.840.10008.1.2", 16, None),
    "deflated": ("1.2.840.10008.1.2.1.99", 16, None),
    "rle": ("1.2.840.10008.1.2.5", 16, "rle"),
    "jpeg-50": ("1.2.840.10008.1.2.4.50", 8, lambda s: imagecodecs.jpeg8_encode(s, level=95)),
    "jpeg-51": ("1.2.840.10008.1.2.4.51", 12, lambda s: imagecodecs.jpeg8_encode(s, level=95, bitspersample=12)),
    "jpeg-57": (
        "1.2.840.10008.1.2.4.57",
        16,
        lambda s: imagecodecs.jpeg8_encode(raw(s), lossless=True, bitspersample=16, predictor=4),
    ),
    "jpeg-70": (
        "1.2.840.10008.1.2.4.70",
        16,
        lambda s: imagecodecs.jpeg8_encode(raw(s), lossless=True, bitspersample=16, predictor=1),
    ),
    "jpeg-ls-80": ("1.2.840.10008.1.2.4.80", 16, lambda s: imagecodecs.jpegls_encode(raw(s))),
    "jpeg-ls-81": ("1.2.840.10008.1.2.4.81", 16, lambda s: imagecodecs.jpegls_encode(raw(s), level=2)),
    "j2k-90": (
        "1.2.840.10008.1.2.4.90",
        16,
        lambda s: imagecodecs.jpeg2k_encode(s, level=0, codecformat="j2k", reversible=True),
    ),
    "j2k-91": ("1.2.840.10008.1.2.4.91", 16, lambda s: imagecodecs.jpeg2k_encode(s, level=70, codecformat="j2k")),
    "htj2k-201": ("1.2.840.10008.1.2.4.201", 16, lambda s: imagecodecs.htj2k_encode(s)),
}


def write_series(source: list[Path], folder: Path, codec: str) -> None:
    uid, bits, encode = CODECS[codec]
    folder.mkdir(parents=True)
    for index in range(SLICES):
        one = pydicom.dcmread(source[index % len(source)])
        stored = one.pixel_array
        stored = {16: lambda s: s, 12: as_12_bits, 8: as_8_bits}[bits](stored)
        one.decompress() if one.file_meta.TransferSyntaxUID.is_compressed else None
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{one.SeriesInstanceUID[:50]}.{index}"
        one.ImagePositionPatient[2] = 2.5 * index
        one.BitsAllocated = 8 if bits == 8 else 16
        one.BitsStored, one.HighBit = bits, bits - 1
        one.PixelRepresentation = int(bits == 16)
        one.PixelData = stored.tobytes()
        one["PixelData"].VR = "OW"
        if encode == "rle":
            one.compress(UID(uid), encoding_plugin="pylibjpeg", generate_instance_uid=False)
        elif encode:
            one.PixelData = encapsulate([encode(stored)])
            one["PixelData"].is_undefined_length = True
        one.file_meta.TransferSyntaxUID = UID(uid)
        one.save_as(folder / f"{index:03}.dcm", enforce_file_format=True, implicit_vr=uid == "1.2.840.10008.1.2")


def measured(run) -> tuple[float, float]:
    """CPU and wall seconds in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def ours(executable: str, folder: Path) -> tuple[float, float]:
    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    cpu, wall = children(), time.perf_counter()
    subprocess.run([executable, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return children() - cpu, time.perf_counter() - wall


def read_pydicom(files: list[str], plugin: str) -> None:
    volume = None
    for index, file in enumerate(files):
        one = pydicom.dcmread(file)
        if plugin:
            one.pixel_array_options(decoding_plugin=plugin)
        if volume is None:
            volume = np.empty((len(files), one.Rows, one.Columns), one.pixel_array.dtype)
        volume[index] = one.pixel_array


def read_simpleitk(files: list[str]) -> None:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.Execute()


def readers(uid: str, files: list[str]) -> dict:
    plugins = get_decoder(UID(uid)).available_plugins if UID(uid).is_encapsulated else ("",)
    peers = {f"pydicom {p}".strip(): (lambda p=p: read_pydicom(files, p)) for p in plugins if p != "pydicom"}
    return peers | {"SimpleITK": lambda: read_simpleitk(files)}


def compare(executable: str, codec: str, folder: Path) -> None:
    files = [str(path) for path in sorted(folder.iterdir())]
    peers = readers(CODECS[codec][0], files)
    best = {}
    for _ in range(TURNS):
        for name, run in {"hilum": None, **peers}.items():
            if best.get(name, ()) is None:
                continue
            try:
                cpu, wall = measured(run) if run else ours(executable, folder)
            except Exception as error:  # A peer without this codec says so in many ways.
                print(f"  {name}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
                best[name] = None
                continue
            old = best.get(name, (cpu, wall))
            best[name] = (min(old[0], cpu), min(old[1], wall))
    best = {name: times for name, times in best.items() if times}
    mb = len(files) * 512 * 512 * (1 if CODECS[codec][1] == 8 else 2) / 1e6
    cpu, wall = best.pop("hilum")
    fastest_cpu = min(best.items(), key=lambda item: item[1][0], default=("none", (float("nan"),) * 2))
    fastest_wall = min(best.values(), key=lambda times: times[1], default=(float("nan"),) * 2)
    shown = ", ".join(f"{name} {mb / times[0]:.1f}" for name, times in best.items())
    print(
        f"| {codec} | {mb / cpu:.1f} | {shown} | {fastest_cpu[1][0] / cpu:.2f} ({fastest_cpu[0]})"
        f" | {fastest_wall[1] / wall:.2f} |",
        flush=True,
    )


def main() -> None:
    source, work = sorted(Path(sys.argv[1]).glob("*.dcm")), Path(sys.argv[2])
    executable = sys.argv[3] if len(sys.argv) > 3 else ""
    codecs = sys.argv[4:] or list(CODECS)
    for codec in codecs:
        if not (work / codec).exists():
            write_series(source, work / codec, codec)
    if not executable:
        return
    print("| codec | hilum, MB per CPU-second | peers | best peer's CPU time / ours | best peer's wall time / ours |")
    print("| --- | --- | --- | --- | --- |")
    for codec in codecs:
        compare(executable, codec, work / codec)


if __name__ == "__main__":
    main()
