#!/usr/bin/env python3
"""Makes the seeds of tests/mutations: two small CT slices in each transfer syntax.

Needs pydicom, pylibjpeg-openjpeg, imagecodecs and the tools of DCMTK. Run it in this folder.
"""

import pathlib
import shutil
import subprocess
import tempfile

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000, JPEG2000Lossless, UID

ROWS, COLUMNS = 12, 16
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
HTJ2K, JPEG_XL = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"

# Name of the seed: the DCMTK command that makes it.
BY_DCMTK = {
    "implicit": ["dcmconv", "+ti"],
    "big-endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "undefined-lengths": ["dcmconv", "+te", "-e"],
    "rle": ["dcmcrle"],
    "jpeg-baseline": ["dcmcjpeg", "+eb"],
    "jpeg-extended": ["dcmcjpeg", "+ee"],
    "jpeg-lossless": ["dcmcjpeg", "+el"],
    "jpeg-lossless-sv1": ["dcmcjpeg", "+e1"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "jpeg-ls-near": ["dcmcjpls", "+en"],
}


def slice_of(z: int) -> Dataset:
    """A slice of a wave, 12 bits stored, with a sequence and a private element."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    samples = (1000 + 500 * np.sin(x / 3 + z) + 20 * y).astype(np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{z + 1}"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CT_IMAGE_STORAGE
    ds.SOPInstanceUID = f"1.2.3.4.{z + 1}"
    ds.Modality = "CT"
    ds.Manufacturer = "HILUM"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "24627-2", "LN", "CT Chest"
    ds.ProcedureCodeSequence = [code]
    ds.PatientID, ds.PatientName = "SEED", "Seed^Fuzz"
    ds.add_new(0x00091001, "OB", b"\x01\x02\x03\x04")
    ds.BodyPartExamined = "CHEST"
    ds.SliceThickness = "2"
    ds.ConvolutionKernel = "STANDARD"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.FrameOfReferenceUID = "1.2.3.9"
    ds.SeriesNumber, ds.InstanceNumber = "2", str(z + 1)
    ds.ImagePositionPatient = ["-8", "-6", str(2 * z)]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.PixelSpacing = ["1", "1"]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelPaddingValue = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.PixelData = samples.tobytes()
    return ds


def with_codestream(ds: Dataset, syntax: str, codestream: bytes, path: pathlib.Path) -> None:
    """Writes the slice with an already compressed image."""
    # pydicom knows no JPEG XL: the UID is exchanged in the written file for one of its length.
    ds.file_meta.TransferSyntaxUID = UID(HTJ2K if syntax == JPEG_XL else syntax)
    ds.PixelData = encapsulate([codestream])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(ds.file_meta.TransferSyntaxUID.encode(), syntax.encode(), 1))


def codestreams(samples: np.ndarray) -> dict[str, tuple[str, bytes]]:
    """What DCMTK has no encoder for: name, transfer syntax and image."""
    j2k = {"codecformat": "j2k", "resolutions": 2, "bitspersample": 12}
    return {
        "jpeg2000-lossless": (JPEG2000Lossless, imagecodecs.jpeg2k_encode(samples, reversible=True, **j2k)),
        "jpeg2000": (JPEG2000, imagecodecs.jpeg2k_encode(samples, level=60, **j2k)),
        "htj2k": (HTJ2K, imagecodecs.htj2k_encode(samples, reversible=True, resolutions=2)),
        "jpeg-xl": (JPEG_XL, imagecodecs.jpegxl_encode(samples, lossless=True)),
    }


def main() -> None:
    scratch = pathlib.Path(tempfile.mkdtemp())
    for z in range(2):
        plain = pathlib.Path(f"explicit-{z}.dcm")
        slice_of(z).save_as(plain, enforce_file_format=True)
        eight = scratch / f"eight-{z}.dcm"
        ds = dcmread(plain)
        samples = ds.pixel_array
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = (samples >> 4).astype(np.uint8).tobytes()
        ds["PixelData"].VR = "OB"
        ds.save_as(eight)
        for name, command in BY_DCMTK.items():
            source = eight if name == "jpeg-baseline" else plain
            subprocess.run([*command, source, f"{name}-{z}.dcm"], check=True)
        for name, (syntax, codestream) in codestreams(samples).items():
            with_codestream(dcmread(plain), syntax, codestream, pathlib.Path(f"{name}-{z}.dcm"))
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
