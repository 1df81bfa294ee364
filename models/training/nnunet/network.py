"""Random networks of an nnU-Net, and what its planner and trainer would have found in an image."""

import numpy as np
import torch
from folder import Model, dataset
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

# Standard deviation of the logits, far above what sums in half lose.
LOGIT_SPREAD = 4.0


def random_network(model: Model, plans_manager: PlansManager, seed: int) -> torch.nn.Module:
    """A network as the trainer builds it, random down to norms and biases."""
    torch.manual_seed(seed)
    configured, labels = plans_manager.get_configuration(model.configuration), dataset(model)
    channels = determine_num_input_channels(plans_manager, configured, labels)
    heads = plans_manager.get_label_manager(labels).num_segmentation_heads
    trainer = recursive_find_trainer_class_by_name(model.trainer)
    network = trainer.build_network_architecture(plans_manager, configured, channels, heads, False)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            centre = 1.0 if name.endswith("norm.weight") else 0.0
            torch.nn.init.uniform_(parameter, centre - 0.5, centre + 0.5)
    return network


def patch_of(data: np.ndarray, size: list[int]) -> torch.Tensor:
    """The middle of an image, with zeros after it where that is too small: [1, channel, z, y, x]."""
    starts = [max(0, (length - wanted) // 2) for length, wanted in zip(data.shape[1:], size)]
    middle = data[:, *(slice(start, start + wanted) for start, wanted in zip(starts, size))]
    after = [(0, wanted - length) for length, wanted in zip(middle.shape[1:], size)]
    return torch.from_numpy(np.pad(middle, [(0, 0), *after]))[None]


@torch.no_grad()
def calibrate(network: torch.nn.Module, patch: torch.Tensor) -> None:
    """Gives batch norms the statistics of a patch, and the head logits that are apart and around zero."""
    network.train()
    for _ in range(20):
        network(patch)
    network.eval()
    logits, head = network(patch)[0].flatten(1), network.decoder.seg_layers[-1]
    scale = LOGIT_SPREAD / logits.std(1)
    head.weight *= scale[:, None, None, None, None]
    head.bias -= logits.mean(1)
    head.bias *= scale


def foreground(image: np.ndarray) -> list[dict[str, float]]:
    """What nnU-Net's fingerprint has of a channel, here of all that is not zero."""
    found = []
    for channel in image.astype(np.float64):
        values = channel[channel != 0]
        low, median, high = (float(value) for value in np.percentile(values, (0.5, 50, 99.5)))
        moments = {"mean": float(values.mean()), "std": float(values.std())}
        extremes = {"min": float(values.min()), "max": float(values.max())}
        found.append(moments | extremes | {"median": median, "percentile_00_5": low, "percentile_99_5": high})
    return found
