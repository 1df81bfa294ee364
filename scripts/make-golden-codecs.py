#!/usr/bin/env python3
"""Writes testdata/codecs/*.dcm, one synthetic slice in every codec and oddity, and testdata/golden/codecs.json.

Usage: make-golden-codecs.py SHARED_DATA_FOLDER, in the project's folder. SHARED_DATA_FOLDER holds the real files of `codecs/`,
`odd/`, `pet/` and `suv/`, which are not in the project. The golden file says, for each file, what pydicom reads (a checksum of the 16-bit
samples, or every 101st sample where the codec is lossy) or by which code it is refused.
Needs pydicom, pylibjpeg with its libjpeg, openjpeg and rle plugins, pyjpegls, imagecodecs and numpy. Made with pydicom 3.0.2,
pylibjpeg-libjpeg 2.5.0, pylibjpeg-openjpeg 2.6.0, pylibjpeg-rle 2.2.0, pyjpegls 1.5.1, imagecodecs 2026.3.6.
"""

import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate, encapsulate_extended, itemize_fragment
from pydicom.uid import UID

EVERY = 101
SOURCE = "testdata/phantom-chest/series/000048.dcm"
JPEG = "1.2.840.10008.1.2.4."
LITTLE, IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
LOSSY = {JPEG + "50", JPEG + "51", JPEG + "91", JPEG + "203", JPEG + "111", JPEG + "112"}
# Real files that are refused, and the code.
REFUSED = {
    "4.53.dcm": "transfer-syntax",
    "4.55.dcm": "transfer-syntax",
    "baseline.51.dcm": "derived",
    "slicecount/": "sop-class",
    "sliceorientation/": "sop-class",
}
# One slice of each PET; make-golden-ct.py reads whole series.
PET = ["pet/STS_001/1-001.dcm", "suv/DRO_0_0/PT/pet_dro_0_0_slice_000.dcm"]
# pydicom looks for the mark behind a preamble only, and drops pixel data without a delimiter.
BEYOND_PYDICOM = {"no-preamble": LITTLE, "fragments-without-delimiter": JPEG + "70"}


def slice_of(stored: np.ndarray, bits: int, signed: bool) -> pydicom.FileDataset:
    one = pydicom.dcmread(SOURCE)
    one.Rows, one.Columns = stored.shape
    one.BitsAllocated = stored.itemsize * 8
    one.BitsStored, one.HighBit, one.PixelRepresentation = bits, bits - 1, int(signed)
    one.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    one["PixelData"].VR = "OW"
    return one


def saved(one: pydicom.Dataset, uid: str) -> bytes:
    one.file_meta.TransferSyntaxUID = UID(uid)
    out = io.BytesIO()
    if uid == BIG:
        list(one.iterall())  # Parses what is still little endian.
        one.PixelData = np.frombuffer(one.PixelData, "<u2").astype(">u2").tobytes()
    encoding = {"implicit_vr": uid == IMPLICIT, "little_endian": uid != BIG}
    pydicom.dcmwrite(out, one, force_encoding=True, **encoding)
    return out.getvalue()


def compressed(one: pydicom.Dataset, uid: str, pixel_data: bytes) -> bytes:
    one.PixelData = pixel_data
    one["PixelData"].is_undefined_length = True
    one["PixelData"].VR = "OB"
    return saved(one, uid)


def data_set(file: bytes) -> bytes:
    """Without preamble, mark and File Meta Information."""
    return file[144 + struct.unpack("<I", file[140:144])[0] :]


def with_unknown_sequence(file: bytes) -> bytes:
    """A private sequence as UN of undefined length, its items implicit, before the pixel data."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x09\x00\x02\x10\x04\0\0\0ABCD" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    element = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    at = file.index(b"\x10\x00\x10\x00PN")
    return file[:at] + element + file[at:]


def images() -> dict[str, np.ndarray]:
    """Signed 16 bits, signed and unsigned 12 bits, unsigned 8 bits; odd sides, so that blocks hang over the borders."""
    stored = pydicom.dcmread(SOURCE).pixel_array.astype(np.int32)[40:101, 30:113]
    hu = stored + int(pydicom.dcmread(SOURCE).RescaleIntercept)
    return {
        "s16": (hu * 8).clip(-32768, 32767).astype(np.int16),
        "s12": hu.clip(-2048, 2047).astype(np.int16),
        "u12": (hu + 1024).clip(0, 4095).astype(np.uint16),
        "u8": ((hu + 1024) // 8).clip(0, 255).astype(np.uint8),
    }


def lossless_jpeg(stored: np.ndarray, bits: int, predictor: int) -> bytes:
    return imagecodecs.jpeg8_encode(stored.view(np.uint16), lossless=True, bitspersample=bits, predictor=predictor)


def native_files(s16: np.ndarray, s12: np.ndarray) -> dict:
    overlay = (s12.view(np.uint16) & 0x0FFF) | 0x5000
    s = lambda: slice_of(s16, 16, True)  # noqa: E731
    files = {name: saved(s(), uid) for name, uid in (("implicit", IMPLICIT), ("explicit", LITTLE), ("big-endian", BIG))}
    files["deflated"] = saved(s(), DEFLATED)
    files |= {
        "no-preamble": files["explicit"][128:],
        "no-mark": files["explicit"][132:],
        "no-meta-explicit": data_set(files["explicit"]),
        "no-meta-implicit": data_set(files["implicit"]),
        "no-meta-big-endian": data_set(files["big-endian"]),
        "no-group-length": files["explicit"][:132] + files["explicit"][144:],
        "unknown-sequence": with_unknown_sequence(files["explicit"]),
    }
    files = {name: (file, s16) for name, file in files.items()}
    files["signed-12-in-16-with-overlay"] = (saved(slice_of(overlay, 12, True), LITTLE), s12)
    return files


def fragment_files(s16: np.ndarray) -> dict:
    codestream = lossless_jpeg(s16, 16, 1)
    codestream += b"\0" * (len(codestream) % 2)
    third = len(codestream) // 3 // 2 * 2
    parts = [codestream[:third], codestream[third : 2 * third], codestream[2 * third :]]
    empty_table, end = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    in_parts = empty_table + b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(p)) + p for p in parts)
    extended, offsets, lengths = encapsulate_extended([codestream])
    with_extended = slice_of(s16, 16, True)
    with_extended.ExtendedOffsetTable, with_extended.ExtendedOffsetTableLengths = offsets, lengths
    uid = JPEG + "70"
    several = compressed(slice_of(s16, 16, True), uid, in_parts)
    table_of_parts = encapsulate([codestream], fragments_per_frame=3, has_bot=True)
    return {
        "fragments-without-table": (several, s16),
        "fragments-with-table": (compressed(slice_of(s16, 16, True), uid, table_of_parts), s16),
        "fragments-without-delimiter": (several.removesuffix(end), s16),
        "extended-offset-table": (compressed(with_extended, uid, extended), s16),
    }


def codec_files(s16: np.ndarray, s12: np.ndarray, u12: np.ndarray, u8: np.ndarray) -> dict:
    raw = lambda s: s.view(np.uint16)  # noqa: E731
    jpeg_8 = imagecodecs.jpeg8_encode(u8, level=90)
    table = {
        "jpeg-50": (u8, 8, "50", jpeg_8),
        "jpeg-51-8-bit": (u8, 8, "51", jpeg_8),
        "jpeg-51-12-bit": (u12, 12, "51", imagecodecs.jpeg8_encode(u12, level=90, bitspersample=12)),
        "jpeg-70": (s16, 16, "70", lossless_jpeg(s16, 16, 1)),
        "jpeg-70-signed-12-in-16": (s12, 12, "70", lossless_jpeg(s12 & 0x0FFF, 12, 1)),
        "jpeg-ls-80": (s16, 16, "80", imagecodecs.jpegls_encode(raw(s16))),
        "jpeg-ls-80-12-bit": (u12, 12, "80", imagecodecs.jpegls_encode(u12)),
        "jpeg-ls-81": (s16, 16, "81", imagecodecs.jpegls_encode(raw(s16), level=3)),
        "jpeg-2000-90": (s16, 16, "90", imagecodecs.jpeg2k_encode(s16, level=0, codecformat="j2k", reversible=True)),
        "jpeg-2000-90-in-jp2": (
            u12,
            12,
            "90",
            imagecodecs.jpeg2k_encode(u12, level=0, codecformat="jp2", reversible=True, bitspersample=12),
        ),
        "jpeg-2000-90-signed-as-unsigned": (
            s12,
            12,
            "90",
            imagecodecs.jpeg2k_encode(raw(s12 & 0x0FFF), level=0, codecformat="j2k", reversible=True, bitspersample=12),
        ),
        "jpeg-2000-91": (s16, 16, "91", imagecodecs.jpeg2k_encode(s16, level=60, codecformat="j2k")),
        "htj2k-201": (s16, 16, "201", imagecodecs.htj2k_encode(s16)),
        "htj2k-202": (s16, 16, "202", imagecodecs.htj2k_encode(s16, tlm=True)),
        "htj2k-203": (s16, 16, "203", imagecodecs.htj2k_encode(s16, level=0.0001, reversible=False)),
        "jpeg-xl-110": (raw(s16), 16, "110", imagecodecs.jpegxl_encode(raw(s16), lossless=True)),
        "jpeg-xl-110-12-bit": (u12, 12, "110", imagecodecs.jpegxl_encode(u12, lossless=True, bitspersample=12)),
        "jpeg-xl-111": (u8, 8, "111", imagecodecs.jpegxl_encode_jpeg(jpeg_8)),
        "jpeg-xl-112": (u12, 12, "112", imagecodecs.jpegxl_encode(u12, distance=0.5, bitspersample=12)),
    }
    for predictor in range(1, 8):
        table[f"jpeg-57-predictor-{predictor}"] = (s16, 16, "57", lossless_jpeg(s16, 16, predictor))
    files = {}
    for name, (stored, bits, process, codestream) in table.items():
        signed = stored.dtype == np.int16
        files[name] = (compressed(slice_of(stored, bits, signed), JPEG + process, encapsulate([codestream])), stored)
    for name, stored, bits in (("rle", s16, 16), ("rle-signed-12-in-16", s12, 12), ("rle-8-bit", u8, 8)):
        one = slice_of(stored, bits, stored.dtype == np.int16)
        one.compress(UID(RLE), encoding_plugin="pylibjpeg", generate_instance_uid=False)
        files[name] = (saved(one, RLE), stored)
    return files


def as_16_bits(samples: np.ndarray) -> np.ndarray:
    return samples.astype("<i2" if samples.dtype.kind == "i" else "<u2").view("<u2")


def read(path: Path) -> tuple[str, np.ndarray | None]:
    """Transfer syntax and samples by pydicom; none where it has no decoder (JPEG XL, retired JPEG)."""
    one = pydicom.dcmread(path, force=True)
    guess = {(True, True): IMPLICIT, (False, True): LITTLE, (False, False): BIG}[one.original_encoding]
    uid = str(one.file_meta.get("TransferSyntaxUID", guess))
    one.file_meta.TransferSyntaxUID = UID(uid)
    try:
        samples = one.pixel_array
    except (NotImplementedError, RuntimeError):
        return uid, None
    return uid, as_16_bits(samples)


def expected(uid: str, samples: np.ndarray) -> dict:
    if uid in LOSSY:
        return {"every": EVERY, "values": samples.ravel()[::EVERY].tolist()}
    return {"sha256": hashlib.sha256(samples.tobytes()).hexdigest()}


def own_entry(path: Path, stored: np.ndarray) -> dict:
    if path.stem in BEYOND_PYDICOM:
        uid = BEYOND_PYDICOM[path.stem]
        return {"transfer_syntax_uid": uid, "by": "its source"} | expected(uid, as_16_bits(stored))
    uid, samples = read(path)
    by = "pydicom"
    if samples is None:
        assert uid.startswith(JPEG + "11"), (path, uid)
        file = pydicom.dcmread(path)
        codestream = next(pydicom.encaps.generate_frames(file.PixelData, number_of_frames=1))
        by, samples = "libjxl", as_16_bits(imagecodecs.jpegxl_decode(codestream))
    if uid not in LOSSY and uid != JPEG + "81":
        assert np.array_equal(samples, as_16_bits(stored)), path
    return {"transfer_syntax_uid": uid, "by": by} | expected(uid, samples)


def shared_entry(path: Path) -> dict:
    uid, samples = read(path)
    for part, code in REFUSED.items():
        if part in str(path):
            return {"transfer_syntax_uid": uid, "code": code}
    return {"transfer_syntax_uid": uid, "by": "pydicom"} | expected(uid, samples)


def main() -> None:
    shared = Path(sys.argv[1])
    folder = Path("testdata/codecs")
    folder.mkdir(exist_ok=True)
    samples = images()
    files = native_files(samples["s16"], samples["s12"]) | fragment_files(samples["s16"]) | codec_files(**samples)
    golden = {}
    for name, (file, stored) in files.items():
        path = folder / f"{name}.dcm"
        path.write_bytes(file)
        golden[str(path)] = own_entry(path, stored)
    files = [p for sub in ("codecs", "odd") for p in (shared / sub).rglob("*") if p.is_file()]
    for path in sorted(files + [shared / name for name in PET]):
        golden[f"../shared/data/{path.relative_to(shared)}"] = shared_entry(path)
    text = json.dumps(golden, indent=0, sort_keys=True)
    Path("testdata/golden/codecs.json").write_text(text.replace(",\n", ", ").replace(", \"", ",\n\"") + "\n")


if __name__ == "__main__":
    main()
