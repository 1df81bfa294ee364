#!/usr/bin/env python3
"""Compares the reading of a CT series in every codec with pydicom (each of its plugins) and SimpleITK.

Usage: codecs.py CT_FOLDER WORK_FOLDER READ_EXECUTABLE [CODEC...]

CT_FOLDER holds the slices of one series; 300 slices of it are written to WORK_FOLDER in each codec, unless they are there.
READ_EXECUTABLE is benches/peers/read.rs, built by `cargo build --release --bench read`. Everyone runs on one thread and in
turns, five times; the least CPU time and the least wall time count. A peer's imports are not counted; our process's start is.
That both sides read the same samples is checked first, where the codec is lossless.
Needs pydicom, pylibjpeg with its libjpeg, openjpeg and rle plugins, pyjpegls, python-gdcm, SimpleITK, imagecodecs and numpy.
"""

import hashlib
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
TURNS = 5
LOSSY = {"jpeg-50", "jpeg-51", "jpeg-ls-81", "j2k-91"}


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


def read_pydicom(files: list[str], plugin: str) -> np.ndarray:
    volume = None
    for index, file in enumerate(files):
        one = pydicom.dcmread(file)
        if plugin:
            one.pixel_array_options(decoding_plugin=plugin)
        if volume is None:
            volume = np.empty((len(files), one.Rows, one.Columns), one.pixel_array.dtype)
        volume[index] = one.pixel_array
    return volume


def read_simpleitk(files: list[str]) -> None:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.Execute()


def plugins(codec: str) -> list[str]:
    uid = UID(CODECS[codec][0])
    return [p for p in get_decoder(uid).available_plugins if p != "pydicom"] if uid.is_encapsulated else [""]


def check_samples(executable: str, codec: str, files: list[str]) -> None:
    if codec in LOSSY:
        return
    expected = hashlib.sha256(read_pydicom(files, plugins(codec)[0]).tobytes()).hexdigest()
    environment = os.environ | {"CHECKSUM": "1"}
    command = [executable, str(Path(files[0]).parent)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    if expected not in found:
        sys.exit(f"{codec}: not the samples that pydicom reads")


def least_times(executable: str, codec: str, files: list[str]) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of everyone who can read the files."""
    runs = {"hilum": lambda: ours(executable, Path(files[0]).parent)}
    for plugin in plugins(codec):
        runs[f"pydicom {plugin}".strip()] = lambda p=plugin: measured(lambda: read_pydicom(files, p))
    runs["SimpleITK"] = lambda: measured(lambda: read_simpleitk(files))
    least = {}
    for _ in range(TURNS):
        for name, run in list(runs.items()):
            try:
                times = run()
            except Exception as error:  # A peer without this codec says so in many ways.
                print(f"  {codec}, {name}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
                del runs[name]
                least.pop(name, None)
                continue
            least[name] = tuple(map(min, times, least.get(name, times)))
    return least


def ratio(peers: dict, kind: int, own: float) -> str:
    """Of the fastest of some peers."""
    name, times = min(peers.items(), key=lambda peer: peer[1][kind], default=("", None))
    return f"{times[kind] / own:.2f} ({name})" if times else "–"


def compare(executable: str, codec: str, folder: Path) -> None:
    files = [str(path) for path in sorted(folder.iterdir())]
    check_samples(executable, codec, files)
    peers = least_times(executable, codec, files)
    cpu, wall = peers.pop("hilum")
    mb = len(files) * 512 * 512 * (1 if CODECS[codec][1] == 8 else 2) / 1e6
    shown = ", ".join(f"{name} {mb / times[0]:.1f}" for name, times in peers.items())
    simpleitk = {name: times for name, times in peers.items() if name == "SimpleITK"}
    pydicom_ = {name: times for name, times in peers.items() if name not in simpleitk}
    ratios = [ratio(them, kind, own) for kind, own in enumerate((cpu, wall)) for them in (pydicom_, simpleitk)]
    print(f"| {codec} | {mb / cpu:.1f} | {shown} | {' | '.join(ratios)} |", flush=True)


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, work, executable = sorted(Path(sys.argv[1]).glob("*.dcm")), Path(sys.argv[2]), sys.argv[3]
    codecs = sys.argv[4:] or list(CODECS)
    if unknown := [codec for codec in codecs if codec not in CODECS]:
        sys.exit(f"no codec {', '.join(unknown)}; there are {', '.join(CODECS)}")
    for codec in codecs:
        if not (work / codec).exists():
            write_series(source, work / f"{codec}.part", codec)
            (work / f"{codec}.part").rename(work / codec)
    peers = "of pydicom's best / ours | of SimpleITK / ours"
    print(f"| codec | hilum, MB per CPU-second | peers | CPU time {peers} | wall time {peers} |")
    print("| --- " * 7 + "|")
    for codec in codecs:
        compare(executable, codec, work / codec)


if __name__ == "__main__":
    main()
