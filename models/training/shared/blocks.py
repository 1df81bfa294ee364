"""What the networks are made of: nnU-Net's building blocks."""

from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

# Batch norm: what a patch shows does not depend on where its neighbours were cut.
BLOCK = {
    "norm_op": nn.BatchNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
}


def unet(channels, kernels, strides, convs, decoder_convs):
    """Patch `[n, 1, z, y, x]` to logits of *lesion* of the same size."""
    return PlainConvUNet(
        1, len(channels), channels, nn.Conv3d, kernels, strides, convs, 1, decoder_convs, conv_bias=True, **BLOCK
    )
