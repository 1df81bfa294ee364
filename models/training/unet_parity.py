"""Makes testdata/unet: small random U-Nets with weights, an input and PyTorch's logits for it.

Usage: python unet_parity.py TARGET_FOLDER

Each network is nnU-Net's plain U-Net, written with torch.nn alone; `cases` below are repeated in the test that reads the
files (src/model/unet.rs). Values are seeded. Versions used: torch 2.15, safetensors 0.8.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

CASES = {
    "anisotropic": {
        "classes": 3,
        "channels": [4, 6, 8],
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "encoder_convs": [1, 2, 3],
        "decoder_convs": [2, 1],
        "patch": [4, 8, 12],
    },
    "deep": {
        "classes": 1,
        "channels": [3, 4, 5, 6],
        "kernels": [[3, 3, 3], [3, 3, 3], [3, 1, 5], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 1, 3], [1, 2, 1]],
        "encoder_convs": [2, 2, 2, 2],
        "decoder_convs": [2, 2, 2],
        "patch": [8, 8, 12],
    },
}


class Block(nn.Module):
    def __init__(self, channels_in, channels_out, kernel, stride):
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, kernel, stride, [k // 2 for k in kernel])
        self.norm = nn.InstanceNorm3d(channels_out, affine=True)

    def forward(self, x):
        return nn.functional.leaky_relu(self.norm(self.conv(x)), 0.01)


def stage(channels_in, channels, kernel, stride, convs):
    first = [Block(channels_in, channels, kernel, stride)]
    return nn.ModuleList(first + [Block(channels, channels, kernel, [1, 1, 1]) for _ in range(convs - 1)])


class UNet(nn.Module):
    def __init__(self, case):
        super().__init__()
        channels, kernels, strides = case["channels"], case["kernels"], case["strides"]
        before = [1] + channels
        deep_to_shallow = range(len(channels) - 2, -1, -1)
        self.encoder = nn.ModuleList(
            stage(before[s], channels[s], kernels[s], strides[s], case["encoder_convs"][s]) for s in range(len(channels))
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(channels[s + 1], channels[s], strides[s + 1], strides[s + 1]) for s in deep_to_shallow
        )
        self.decoder = nn.ModuleList(
            stage(2 * channels[s], channels[s], kernels[s], [1, 1, 1], convs)
            for s, convs in zip(deep_to_shallow, case["decoder_convs"])
        )
        self.head = nn.Conv3d(channels[0], case["classes"], 1)

    def forward(self, x):
        skips = []
        for blocks in self.encoder:
            for block in blocks:
                x = block(x)
            skips.append(x)
        skips.pop()
        for upsample, blocks in zip(self.upsample, self.decoder):
            x = torch.cat([upsample(x), skips.pop()], 1)
            for block in blocks:
                x = block(x)
        return self.head(x)


def main() -> None:
    target = Path(sys.argv[1])
    for name, case in CASES.items():
        torch.manual_seed(len(name))
        network = UNet(case).eval()
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5)
        x = torch.randn(1, 1, *case["patch"])
        with torch.inference_mode():
            logits = network(x)
        rename = {".norm.weight": ".norm.gamma", ".norm.bias": ".norm.beta"}
        weights = {}
        for key, value in network.state_dict().items():
            for old, new in rename.items():
                key = key.replace(old, new)
            weights[key] = value.contiguous()
        save_file(weights, target / f"{name}.weights.safetensors")
        save_file({"input": x, "logits": logits.contiguous()}, target / f"{name}.golden.safetensors")


if __name__ == "__main__":
    main()
