"""Runs nnU-Net's predictor on a file, in one process on the CPU, and prints its figures as JSON.

Usage: nnunet_peer.py predict MODEL_FOLDER IMAGE.nii.gz LABELS THREADS     writes LABELS.nii.gz
       nnunet_peer.py image DICOM_FOLDER IMAGE.nii.gz                      a series as a file, by SimpleITK
       nnunet_peer.py compare LABELS.nii.gz LABELS.nii.gz                  the share of voxels that are equal

The first does, one after another, what nnU-Net does for one case with no processes beside it: less memory than its command
takes, which spreads over seven. One fold, no mirroring. Environment: models/training/nnunet/requirements.txt.
"""

import json
import os
import sys
import time
from contextlib import redirect_stdout

STARTED = time.perf_counter()


class Stages:
    """Seconds from one call of `end` to the next."""

    def __init__(self) -> None:
        self.seconds, self.last = {}, STARTED

    def end(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self.last, 3)
        self.last = now


def predict(model: str, image: str, labels: str, threads: int) -> dict:
    os.environ["nnUNet_def_n_proc"] = str(threads)
    stages = Stages()
    import torch
    from nnunetv2.inference.export_prediction import export_prediction_from_logits
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    stages.end("import_s")
    torch.set_num_threads(threads)
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, (0,))
    plans, configuration, dataset = predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    stages.end("load_s")
    preprocessor = configuration.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case([image], None, plans, configuration, dataset)
    stages.end("preprocess_s")
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    stages.end("network_s")
    export_prediction_from_logits(logits, properties, configuration, plans, dataset, labels, num_threads_torch=threads)
    stages.end("export_s")
    return stages.seconds | {"size": data.shape[1:], "version": version()}


def version() -> str:
    from importlib.metadata import version

    return f"nnU-Net {version('nnunetv2')}, PyTorch {version('torch')}"


def write_image(folder: str, target: str) -> dict:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    image = sitk.Cast(reader.Execute(), sitk.sitkInt16)
    sitk.WriteImage(image, target)
    return {"size": image.GetSize()[::-1], "spacing_mm": image.GetSpacing()[::-1]}


def compare(one: str, other: str) -> dict:
    import SimpleITK as sitk

    first, second = (sitk.GetArrayFromImage(sitk.ReadImage(path)) for path in (one, other))
    return {"equal": float((first == second).mean()), "labels": [int(first.max()), int(second.max())]}


def main() -> None:
    with redirect_stdout(sys.stderr):
        match sys.argv[1:]:
            case ["predict", model, image, labels, threads]:
                found = predict(model, image, labels, int(threads))
            case ["image", folder, target]:
                found = write_image(folder, target)
            case ["compare", one, other]:
                found = compare(one, other)
            case _:
                sys.exit(__doc__)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
