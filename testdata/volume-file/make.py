"""Makes small volumes with nibabel and SimpleITK, and golden.json with what these say of them.

Run with numpy 2.4, nibabel 5.4 and SimpleITK 2.5: python make.py
"""

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

HERE = Path(__file__).parent
SIZE_XYZ = (5, 4, 3)
SPACING = (0.7, 0.8, 2.5)
rng = np.random.default_rng(11)


def directions():
    """All 48 ways in which three axes lie along the patient's, and two oblique ones."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            for axis, (to, sign) in enumerate(zip(order, signs)):
                matrix[to, axis] = sign
            yield matrix
    a, b = 0.3, -0.2
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    yield turn_z @ turn_x
    yield turn_z @ turn_x @ np.diag([1, 1, -1])


def voxels():
    values = rng.integers(-1024, 1500, SIZE_XYZ)
    values[0, 0, 0] = -1000
    return values


def entry(name, hu, to_lps):
    """HU in storage order (x fastest) and LPS mm of three voxels."""
    indices = [(0, 0, 0), (4, 0, 0), (4, 3, 2)]
    return {
        "file": name,
        "size_zyx": list(SIZE_XYZ[::-1]),
        "hu": np.asarray(hu, dtype=float).transpose(2, 1, 0).ravel().tolist(),
        "positions": [{"xyz": i, "lps_mm": [round(float(v), 9) for v in to_lps(i)]} for i in indices],
    }


def nifti_lps(image):
    return lambda i: (image.affine @ [*i, 1])[:3] * [-1, -1, 1]


def save_nifti(name, values, affine, change=lambda header: None):
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    change(image.header)
    image.to_filename(HERE / name)
    image = nib.load(HERE / name)
    return entry(name, image.get_fdata(), nifti_lps(image))


def nifti_types():
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-90.5, 20.25, -300]
    values = voxels()
    yield save_nifti("int16.nii", values.astype(np.int16), affine)
    yield save_nifti("float32.nii.gz", values.astype(np.float32), affine)
    yield save_nifti("float64.nii.gz", values.astype(np.float64), affine)
    yield save_nifti("int32.nii.gz", values.astype(np.int32), affine)
    big = nib.Nifti1Image(values.astype(np.int16), affine, nib.Nifti1Header(endianness=">"))
    big.to_filename(HERE / "big-endian.nii.gz")
    yield entry("big-endian.nii.gz", values, nifti_lps(nib.load(HERE / "big-endian.nii.gz")))

    # nibabel chooses its own scaling on saving, so the file is put together here.
    header = nib.Nifti1Image(values.astype(np.uint16), affine).header.copy()
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, -1024, 352
    header["magic"] = b"n+1"
    with open(HERE / "scaled.nii", "wb") as file:
        file.write(header.binaryblock + bytes(4))
        file.write((values + 1024).astype("<u2").tobytes(order="F"))
    image = nib.load(HERE / "scaled.nii")
    yield entry("scaled.nii", image.get_fdata(), nifti_lps(image))


def nifti_orientations():
    """A header with the sform alone and one with the qform alone per direction."""
    values = voxels()
    for direction in directions():
        ras = np.diag([-1, -1, 1]) @ direction
        affine = np.eye(4)
        affine[:3, :3] = ras @ np.diag(SPACING)
        affine[:3, 3] = [12.5, -30, 77]
        image = nib.Nifti1Image(values.astype(np.int16), affine)
        sform, qform = image.header.copy(), image.header.copy()
        sform.set_sform(affine, code=1), sform.set_qform(None, code=0)
        qform.set_qform(affine, code=1), qform.set_sform(None, code=0)
        yield {
            "sform_header": sform.binaryblock.hex(),
            "qform_header": qform.binaryblock.hex(),
            "positions": entry("", values, nifti_lps(image))["positions"],
        }


def metaimage():
    for number, (name, direction) in enumerate(
        [("identity.mhd", np.eye(3)), ("oblique.mha", list(directions())[48]), ("coronal.mhd", list(directions())[13])]
    ):
        values = voxels().astype([np.int16, np.float32, np.int32][number])
        image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        image.SetOrigin((-100.5, 33.25, -812))
        image.SetDirection(direction.ravel().tolist())
        sitk.WriteImage(image, str(HERE / name), useCompression=number > 0)
        yield entry(name, values, image.TransformIndexToPhysicalPoint)


def label_map():
    """Two labels on an oblique grid, as nibabel writes and reads them."""
    labels = np.zeros(SIZE_XYZ, np.uint16)
    labels[1:3, 1, 0] = 1
    labels[4, 3, 2] = 2
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ list(directions())[48] @ np.diag(SPACING)
    affine[:3, 3] = [12.5, -30, 77]
    image = nib.Nifti1Image(labels, affine)
    header = image.header
    header.set_xyzt_units("mm"), header.set_intent("label")
    header.set_sform(affine, code=1), header.set_qform(None, code=0)
    header["pixdim"][0] = 1
    header["pixdim"][4:] = 0
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, 0, 352
    header["magic"] = b"n+1"
    to_lps = np.diag([-1, -1, 1, 1]) @ affine
    return {
        "index_to_lps": to_lps[:3].T.ravel().tolist(),
        "labels": labels.transpose(2, 1, 0).ravel().tolist(),
        "header": header.binaryblock.hex(),
    }


golden = {
    "made_with": f"nibabel {nib.__version__}, SimpleITK {sitk.Version.VersionString()}",
    "files": [*nifti_types(), *metaimage()],
    "orientations": list(nifti_orientations()),
    "label_map": label_map(),
}
(HERE / "golden.json").write_text(json.dumps(golden) + "\n")
