"""Makes testdata/classifier: a small random model as training leaves it, and what PyTorch makes of two patches.

Usage: python classifier_parity.py TARGET_FOLDER

Segmenters and classifiers are dynamic_network_architectures' own classes with batch norm, whose statistics and parameters are
random; `model.toml` is written by hand. `golden.safetensors` holds, of the ensemble: `input` and `logits`; `classifier.input`,
`classifier.outputs` (mean over networks and mirrored copies), `classifier.spread`, `classifier.novelty`. Values are seeded.
Versions used: torch 2.15, dynamic-network-architectures 0.4.4, safetensors 0.8.
"""

import itertools
import sys
import tomllib
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from dynamic_network_architectures.building_blocks.plain_conv_encoder import PlainConvEncoder
from safetensors.torch import save_file
from torch import nn

LAYERS = {
    "conv_op": nn.Conv3d,
    "conv_bias": True,
    "norm_op": nn.BatchNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"negative_slope": 0.01, "inplace": True},
}
FOLDS = 2
# Normalised values of lung and of what is dense, and the logit of the latter after training of the head alone.
LUNG, DENSE, LOGIT = -0.786, 0.486, 2.0


class Classifier(nn.Module):
    def __init__(self, spec: dict):
        super().__init__()
        self.encoder = PlainConvEncoder(
            input_channels=1,
            n_stages=len(spec["channels"]),
            features_per_stage=spec["channels"],
            kernel_sizes=spec["kernels"],
            strides=spec["strides"],
            n_conv_per_stage=spec["convs"],
            return_skips=False,
            **LAYERS,
        )
        self.head = nn.Linear(2 * spec["channels"][-1], 1 + len(spec["types"]))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        volume = self.encoder(x).flatten(2)
        return torch.cat([volume.mean(2), volume.amax(2)], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def segmenter(network: dict) -> PlainConvUNet:
    return PlainConvUNet(
        input_channels=network["input_channels"],
        n_stages=len(network["channels"]),
        features_per_stage=network["channels"],
        kernel_sizes=network["kernels"],
        strides=network["strides"],
        n_conv_per_stage=network["encoder_convs"],
        num_classes=network["classes"],
        n_conv_per_stage_decoder=network["decoder_convs"],
        deep_supervision=False,
        **LAYERS,
    )


def randomised(module: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    for name, parameter in module.named_parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
        if name.endswith("norm.weight"):
            parameter.data += 1.0
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            nn.init.uniform_(buffer, -0.5, 0.5)
        elif name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 2.0)
    return module.eval()


def told_apart(network: PlainConvUNet, patch: list[int]) -> None:
    """Scales the head so that a ball in lung has the logit LOGIT and the lung around it -LOGIT, in the mean."""
    grid = torch.meshgrid(*[torch.arange(n) - n // 2 for n in patch], indexing="ij")
    ball = sum(axis**2 for axis in grid) < 16
    logits = network(torch.where(ball, DENSE, LUNG)[None, None])[0, 0]
    inside, outside = logits[ball].mean(), logits[~ball].mean()
    head, scale = network.decoder.seg_layers[-1], 2 * LOGIT / (inside - outside)
    head.weight *= scale
    head.bias.copy_(scale * (head.bias - (inside + outside) / 2))


def mirrored(x: torch.Tensor, axes: list[int]) -> list[torch.Tensor]:
    subsets = itertools.chain.from_iterable(itertools.combinations(axes, n) for n in range(len(axes) + 1))
    return [x.flip([axis + 2 for axis in subset]) for subset in subsets]


@torch.inference_mode()
def main() -> None:
    target = Path(sys.argv[1])
    manifest = tomllib.loads((target / "model.toml").read_text())
    spec = manifest["classifier"]
    segmenters = [randomised(segmenter(manifest["network"]), seed) for seed in range(FOLDS)]
    classifiers = [randomised(Classifier(spec), 10 + seed) for seed in range(FOLDS)]
    for fold, (first, second) in enumerate(zip(segmenters, classifiers)):
        told_apart(first, manifest["input"]["patch"])
        torch.save(first.state_dict(), target / f"segmenter_{fold}.pth")
        torch.save(second.state_dict(), target / f"classifier_{fold}.pth")
    torch.manual_seed(20)
    features = 2 * spec["channels"][-1]
    novelty = {"mean": torch.randn(features), "whitening": torch.randn(features, features)}
    x = torch.randn(1, 1, *manifest["input"]["patch"])
    candidate = torch.randn(1, 1, *spec["patch"])
    copies = mirrored(candidate, spec["mirror_axes"])
    outputs = torch.stack([torch.stack([network(copy) for copy in copies]).mean(0) for network in classifiers])
    novelty |= {"input_mean": torch.randn(features), "input_whitening": torch.randn(features, features)}
    torch.save(novelty, target / "novelty.pth")
    centred = classifiers[0].features(candidate)[0] - novelty["mean"]
    golden = {
        "input": x,
        "logits": torch.stack([network(x) for network in segmenters]).mean(0),
        "classifier.input": candidate,
        "classifier.outputs": outputs.mean(0),
        "classifier.spread": outputs[:, 0, 0].std(correction=0).reshape(1),
        "classifier.novelty": torch.linalg.vector_norm(novelty["whitening"] @ centred).reshape(1),
    }
    save_file({name: value.contiguous() for name, value in golden.items()}, target / "golden.safetensors")


if __name__ == "__main__":
    main()
