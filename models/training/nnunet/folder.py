"""Writes a folder as nnU-Net leaves it after training: dataset.json, plans.json, fold_K/checkpoint_final.pth."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

LIBRARY = "dynamic_network_architectures.architectures.unet."

# Of one epoch, which is all that a random network has behind it.
EPOCH_START_S = 1.7e9


@dataclass(frozen=True)
class Model:
    """What a folder says of its network, in the order of axes after the transposition."""

    network: str
    features: list[int]
    kernels: list[list[int]]
    strides: list[list[int]]
    encoder: list[int]
    decoder: list[int]
    patch: list[int]
    spacing_mm: list[float]
    # Name to normalisation, per channel.
    channels: dict[str, str]
    labels: dict[str, int | list[int]]
    regions_class_order: list[int] | None = None
    masked: tuple[int, ...] = ()
    transpose_forward: tuple[int, int, int] = (0, 1, 2)
    configuration: str = "3d_fullres"
    trainer: str = "nnUNetTrainer"
    norm: str = "InstanceNorm3d"
    reader: str = "SimpleITKIO"
    folds: tuple[int | str, ...] = (0,)
    mirroring: tuple[int, ...] | None = (0, 1, 2)
    # Trained with NumPy 1, whose scalars have another name in a pickle, by an nnU-Net before 2.6.
    numpy_1: bool = False


def architecture(model: Model, dimensions: int = 3) -> dict:
    """The network as plans.json has it since nnU-Net 2.5; in two dimensions without the first axis."""
    residual = model.network == "ResidualEncoderUNet"
    kind, name = model.norm[:-2], f"{dimensions}d"
    norm_module = {"InstanceNorm": "instancenorm", "BatchNorm": "batchnorm"}[kind]
    kwargs = {
        "n_stages": len(model.features),
        "features_per_stage": model.features,
        "conv_op": f"torch.nn.modules.conv.Conv{name}",
        "kernel_sizes": [kernel[-dimensions:] for kernel in model.kernels],
        "strides": [stride[-dimensions:] for stride in model.strides],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": model.encoder,
        "n_conv_per_stage_decoder": model.decoder,
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.{norm_module}.{kind}{name}",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    return {"network_class_name": LIBRARY + model.network, "arch_kwargs": kwargs, "_kw_requires_import": imported}


def old_architecture(model: Model) -> dict:
    """The same before nnU-Net 2.5, which could say it of features that double up to a limit."""
    doubled = [min(model.features[0] * 2**stage, max(model.features)) for stage in range(len(model.features))]
    assert model.features == doubled
    return {
        "UNet_class_name": model.network,
        "UNet_base_num_features": model.features[0],
        "n_conv_per_stage_encoder": model.encoder,
        "n_conv_per_stage_decoder": model.decoder,
        "num_pool_per_axis": [sum(stride[axis] > 1 for stride in model.strides) for axis in range(3)],
        "pool_op_kernel_sizes": model.strides,
        "conv_kernel_sizes": model.kernels,
        "unet_max_num_features": max(model.features),
    }


def configuration(model: Model, name: str, dimensions: int = 3, old: bool = False) -> dict:
    """One of the configurations of plans.json."""
    resampling = {"order_z": 0, "force_separate_z": None}
    images = {"is_seg": False, "order": 3} | resampling
    described = old_architecture(model) if old else {"architecture": architecture(model, dimensions)}
    return {
        "data_identifier": f"nnUNetPlans_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": model.patch[-dimensions:],
        "median_image_size_in_voxels": [float(3 * size) for size in model.patch[-dimensions:]],
        "spacing": model.spacing_mm[-dimensions:],
        "normalization_schemes": list(model.channels.values()),
        "use_mask_for_norm": [channel in model.masked for channel in range(len(model.channels))],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": images,
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1} | resampling,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": images | {"order": 1},
        "batch_dice": True,
    } | described


def plans(model: Model, intensities: list[dict[str, float]], old: bool = False) -> dict:
    """plans.json: `intensities` are those of the foreground, per channel."""
    configurations = {"3d_fullres": configuration(model, "3d_fullres", old=old)}
    if not old:
        configurations["2d"] = configuration(model, "2d", dimensions=2)
    if model.configuration == "3d_lowres":
        configurations["3d_lowres"] = configuration(model, "3d_lowres") | {"next_stage": "3d_cascade_fullres"}
        # Only the spacing tells the two apart, as good as any.
        configurations["3d_fullres"]["spacing"] = [spacing / 2 for spacing in model.spacing_mm]
        configurations["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    return {
        "dataset_name": "Dataset900_Random",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": model.spacing_mm,
        "original_median_shape_after_transp": [3 * size for size in model.patch],
        "image_reader_writer": model.reader,
        "transpose_forward": list(model.transpose_forward),
        "transpose_backward": [model.transpose_forward.index(axis) for axis in range(3)],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(i): one for i, one in enumerate(intensities)},
    }


def dataset(model: Model) -> dict:
    """dataset.json."""
    regions = {"regions_class_order": model.regions_class_order} if model.regions_class_order else {}
    return {
        "channel_names": {str(i): name for i, name in enumerate(model.channels)},
        "labels": model.labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
    } | regions


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4) + "\n")


class NumPy1Pickler(pickle._Pickler):
    """Names NumPy's scalars as NumPy 1 did."""

    def save_global(self, obj, name=None) -> None:
        if obj is not np._core.multiarray.scalar:
            return super().save_global(obj, name)
        self.write(pickle.GLOBAL + b"numpy.core.multiarray\nscalar\n")
        self.memoize(obj)


def logging(best: np.float64) -> dict:
    """What the trainer logged, one value per epoch."""
    return {
        "mean_fg_dice": [best],
        "ema_fg_dice": [best],
        "dice_per_class_or_region": [[best]],
        "train_losses": [np.float32(-0.5)],
        "val_losses": [np.float32(-0.25)],
        "lrs": [0.01],
        "epoch_start_timestamps": [EPOCH_START_S],
        "epoch_end_timestamps": [EPOCH_START_S + 60],
    }


def save_checkpoint(path: Path, model: Model, network: torch.nn.Module, fold: int | str, plan: dict) -> None:
    """Saves what nnU-Net's trainer saves, on a GPU; of the optimizer's momenta only the first, to keep it small."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    first = next(network.parameters())
    optimizer.state[first] = {"momentum_buffer": torch.zeros_like(first)}
    init_args = {"plans": plan, "configuration": model.configuration, "fold": fold, "dataset_json": dataset(model)}
    if model.numpy_1:
        init_args["unpack_dataset"] = True
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 7}
    best = np.float64(0.75)
    checkpoint = {
        "network_weights": network.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": scaler,
        "logging": logging(best),
        "_best_ema": best,
        "current_epoch": 1,
        "init_args": init_args | {"device": torch.device("cuda")},
        "trainer_name": model.trainer,
        "inference_allowed_mirroring_axes": model.mirroring,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    old = SimpleNamespace(__name__="pickle", Pickler=NumPy1Pickler)
    torch.save(checkpoint, path, pickle_module=old if model.numpy_1 else pickle)


# Every tensor claims to lie on the GPU where it was trained.
torch.serialization.register_package(0, lambda storage: "cuda:0", lambda storage, location: None)
