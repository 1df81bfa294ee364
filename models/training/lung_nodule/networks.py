"""The two networks, of nnU-Net's building blocks, so that they come into Hilum as any trained model does."""

import torch
from blocks import BLOCK, unet
from dynamic_network_architectures.building_blocks.plain_conv_encoder import PlainConvEncoder
from torch import nn

CHANNELS = [16, 32, 64, 128]
KERNELS = [[3, 3, 3]] * 4
STRIDES = [[1, 1, 1]] + [[2, 2, 2]] * 3
CONVS = [1, 2, 2, 2]
DECODER_CONVS = [2, 2, 1]
TYPES = ["solid", "part-solid", "ground-glass"]


def segmenter():
    """HU patch `[n, 1, z, y, x]` to logits of *nodule* of the same size."""
    return unet(CHANNELS, KERNELS, STRIDES, CONVS, DECODER_CONVS)


class Classifier(nn.Module):
    """HU patch around a candidate to the logit of *nodule* and the logits of its type."""

    def __init__(self):
        super().__init__()
        self.encoder = PlainConvEncoder(1, 4, CHANNELS, nn.Conv3d, KERNELS, STRIDES, CONVS, conv_bias=True, **BLOCK)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(2 * CHANNELS[-1], 1 + len(TYPES))

    def features(self, x):
        last = self.encoder(x).float()
        return torch.cat([last.mean((2, 3, 4)), last.amax((2, 3, 4))], 1)

    def forward(self, x):
        return self.head(self.dropout(self.features(x)))
