"""Makes small random nnU-Nets as they lie on a disk, and what nnU-Net's own predictor makes of a phantom and of a real CT.

Usage: parity.py TARGET_FOLDER CT_FOLDER [CASE...]

Writes TARGET_FOLDER/CASE with a trained model's folder and golden.safetensors; testdata/README.md says what is in it.
CT_FOLDER has the DICOM of LIDC-IDRI-0001, of which only label maps and some logits are kept. Everything is seeded and runs
in one thread. Environment: scripts/nnunet-parity.sh.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

# Before nnU-Net is imported, which reads it.
os.environ["nnUNet_def_n_proc"] = "1"

import numpy as np
import SimpleITK as sitk
import torch
from cases import CASES, Case, phantom
from folder import Model, dataset, plans, save_checkpoint, write_json
from golden import save_golden
from network import calibrate, foreground, patch_of, random_network
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape as export
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

# Of LIDC-IDRI-0001, slices from the feet: around its nodule. Samples keep the voxels themselves out of the project.
CT_CROP = (slice(80, 98), slice(335, 395), slice(288, 344))
CT_SAMPLES = 500

# A label of fewer voxels would prove nothing.
LEAST_SHARE = 0.02


def predictor(mirrored: bool = False) -> nnUNetPredictor:
    options = {"tile_step_size": 0.5, "use_gaussian": True, "use_mirroring": mirrored, "allow_tqdm": False}
    with redirect_stdout(None):
        return nnUNetPredictor(**options, device=torch.device("cpu"))


def written(folder: Path, image: sitk.Image, channels: list[np.ndarray]) -> list[str]:
    """An image as nnU-Net reads it: a file per channel, all in the place of `image`."""
    files = []
    for number, channel in enumerate(channels):
        one = sitk.GetImageFromArray(channel)
        one.CopyInformation(image)
        files.append(str(folder / f"image_{number:04}.nii.gz"))
        sitk.WriteImage(one, files[-1])
    return files


def phantom_files(folder: Path, case: Case) -> list[str]:
    image = sitk.Image(case.size[::-1], sitk.sitkFloat32)
    image.SetSpacing(case.spacing_mm[::-1])
    image.SetOrigin((-30.0, 12.5, 100.0))
    return written(folder, image, list(phantom(case)))


def ct_files(folder: Path, case: Case, ct: Path) -> list[str]:
    """The crop; a second channel rises with its HU as a PET's uptake might."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(ct)))
    image = reader.Execute()[tuple(reversed(CT_CROP))]
    hu = sitk.GetArrayFromImage(image).astype(np.float32)
    uptake = np.maximum(hu + 1000, 0) / 250
    return written(folder, image, [hu, uptake][: len(case.model.channels)])


def preprocessed(plans_manager: PlansManager, case: Case, files: list[str]) -> tuple[np.ndarray, dict]:
    configured = plans_manager.get_configuration(case.model.configuration)
    preprocessor = configured.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case(files, None, plans_manager, configured, dataset(case.model))
    return data, properties


def write_model(folder: Path, case: Case, files: list[str]) -> None:
    """The trained model's folder."""
    image, _ = SimpleITKIO().read_images(files)
    plan = plans(case.model, foreground(image))
    write_json(folder / "dataset.json", dataset(case.model))
    write_json(folder / "plans.json", plan)
    plans_manager = PlansManager(plan)
    patch = patch_of(preprocessed(plans_manager, case, files)[0], case.model.patch)
    for number, fold in enumerate(case.model.folds):
        network = random_network(case.model, plans_manager, 100 * case.seed + number)
        calibrate(network, patch)
        save_checkpoint(folder / f"fold_{fold}" / "checkpoint_final.pth", case.model, network, fold, plan)


def predicted(folder: Path, case: Case, files: list[str], mirrored: bool = False) -> dict[str, np.ndarray]:
    """Of an image the logits before they are exported, the label map in its file, and the probabilities on its grid."""
    model = predictor(mirrored)
    model.initialize_from_trained_model_folder(str(folder), case.model.folds)
    data, properties = preprocessed(model.plans_manager, case, files)
    logits = model.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    managers = (model.plans_manager, model.configuration_manager, model.label_manager)
    _, probabilities = export(logits, *managers, properties, return_probabilities=True, num_threads_torch=1)
    with tempfile.TemporaryDirectory() as out, redirect_stdout(None):
        model.predict_from_files_sequential([files], [f"{out}/labels"])
        labels = sitk.GetArrayFromImage(sitk.ReadImage(f"{out}/labels.nii.gz")).astype(np.uint8)
    shares = np.bincount(labels.ravel())[np.unique(list(flattened(case.model.labels)))] / labels.size
    assert shares.min() > LEAST_SHARE, shares
    print(f"labels: {np.round(shares, 3)} of the image, logits {logits.min():.1f} to {logits.max():.1f}")
    return {"logits": logits.float().numpy(), "labels": labels, "probabilities": probabilities}


def flattened(labels: dict[str, int | list[int]]) -> Iterator[int]:
    for values in labels.values():
        yield from values if isinstance(values, list) else [values]


@torch.inference_mode()
def one_patch(folder: Path, case: Case, data: np.ndarray) -> dict[str, np.ndarray]:
    """A patch, and each fold's logits for it in f32."""
    model, patch = predictor(), patch_of(data, case.model.patch)
    model.initialize_from_trained_model_folder(str(folder), case.model.folds)
    tensors = {"patch": patch[0].numpy()}
    for fold, weights in zip(case.model.folds, model.list_of_parameters):
        model.network.load_state_dict(weights)
        tensors[f"patch.logits.fold_{fold}"] = model.network.eval()(patch)[0].numpy()
    return tensors


def phantom_golden(folder: Path, case: Case, files: list[str]) -> tuple[dict[str, np.ndarray], dict]:
    plans_manager = PlansManager(json.loads((folder / "plans.json").read_text()))
    source, read = SimpleITKIO().read_images(files)
    data, properties = preprocessed(plans_manager, case, files)
    tensors = {"source": source, "data": data} | one_patch(folder, case, data) | predicted(folder, case, files)
    if case.mirrored:
        mirrored = predicted(folder, case, files, mirrored=True)
        tensors |= {f"mirrored.{name}": mirrored[name] for name in ("logits", "labels")}
    about = {
        "spacing_mm": [float(spacing) for spacing in read["spacing"]],
        "bounding_box": [[int(end) for end in ends] for ends in properties["bbox_used_for_cropping"]],
    }
    return tensors, about


def ct_golden(folder: Path, case: Case, files: list[str]) -> tuple[dict[str, np.ndarray], dict]:
    found = predicted(folder, case, files)
    logits, rng = found["logits"], np.random.default_rng(case.seed)
    voxels = np.stack([rng.integers(0, length, CT_SAMPLES) for length in logits.shape[1:]], -1)
    tensors = {"crop.labels": found["labels"], "crop.voxels": voxels.astype(np.int32)}
    crop = {"series": "LIDC-IDRI-0001", "voxels": [[part.start, part.stop] for part in CT_CROP], "size": logits.shape[1:]}
    return tensors | {"crop.logits": logits[:, *voxels.T]}, {"crop": crop}


def other_plans(name: str, model: Model, intensities: list[dict]) -> dict[str, dict]:
    """Other plans.json of the same network: as nnU-Net wrote it before 2.5, or telling the norm that the trainer puts."""
    match name:
        case "plain":
            return {"plans-2.4.json": plans(model, intensities, old=True)}
        case "batch":
            return {"plans-batch-norm.json": plans(replace(model, norm="BatchNorm3d"), intensities)}
        case _:
            return {}


def write_other_plans(folder: Path, case: Case, files: list[str], logits: np.ndarray) -> None:
    """Writes them beside plans.json, once nnU-Net has found the same logits with them."""
    intensities = json.loads((folder / "plans.json").read_text())["foreground_intensity_properties_per_channel"]
    for name, plan in other_plans(folder.name, case.model, list(intensities.values())).items():
        with tempfile.TemporaryDirectory() as scratch:
            other = Path(scratch) / "model"
            shutil.copytree(folder, other)
            write_json(other / "plans.json", plan)
            assert (predicted(other, case, files)["logits"] == logits).all(), name
        write_json(folder / name, plan)


def write_case(target: Path, name: str, ct: Path) -> None:
    case, folder = CASES[name], target / name
    with tempfile.TemporaryDirectory() as scratch:
        files = phantom_files(Path(scratch), case)
        write_model(folder, case, files)
        tensors, about = phantom_golden(folder, case, files)
        write_other_plans(folder, case, files, tensors["logits"])
    with tempfile.TemporaryDirectory() as scratch:
        ct_tensors, ct_about = ct_golden(folder, case, ct_files(Path(scratch), case, ct))
    save_golden(folder / "golden.safetensors", tensors | ct_tensors, {"seed": case.seed} | about | ct_about)


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[3:] or CASES:
        print(f"== {name}")
        write_case(Path(sys.argv[1]), name, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
