"""The networks of benches/engine.rs in PyTorch on as many threads: python benches/peers/network.py [light] [full]."""

import statistics
import sys
import time

import torch
from torch import nn

CHANNELS = {"light": [16, 32, 64, 128], "full": [32, 64, 128, 256, 320]}


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv = nn.Conv3d(c_in, c_out, 3, stride=stride, padding=1)
        self.norm = nn.InstanceNorm3d(c_out, affine=True, eps=1e-5)
        self.act = nn.LeakyReLU(0.01)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class UNet(nn.Module):
    def __init__(self, channels, classes=3):
        super().__init__()
        pairs = list(zip([1] + channels, channels))
        self.encoder = nn.ModuleList(
            nn.Sequential(Block(c_in, c, 1 if k == 0 else 2), Block(c, c, 1)) for k, (c_in, c) in enumerate(pairs)
        )
        steps = list(zip(channels[:0:-1], channels[-2::-1]))
        self.upsample = nn.ModuleList(nn.ConvTranspose3d(deep, c, 2, stride=2) for deep, c in steps)
        self.decoder = nn.ModuleList(nn.Sequential(Block(2 * c, c, 1), Block(c, c, 1)) for _, c in steps)
        self.head = nn.Conv3d(channels[0], classes, 1)

    def forward(self, x):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for upsample, stage, skip in zip(self.upsample, self.decoder, skips[-2::-1]):
            x = stage(torch.cat([upsample(x), skip], 1))
        return self.head(x)


def main():
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in sys.argv[1:] or CHANNELS:
        network, patch = UNet(CHANNELS[name]).eval(), torch.randn(1, 1, 96, 96, 96)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            moved, x = network.to(memory_format=layout), patch.contiguous(memory_format=layout)
            walls, cpus = [], []
            with torch.inference_mode():
                moved(x)
                for _ in range(5):
                    wall, cpu = time.perf_counter(), time.process_time()
                    moved(x)
                    walls.append(time.perf_counter() - wall)
                    cpus.append((time.process_time() - cpu) / torch.get_num_threads())
            print(f"{name} at 96^3, {layout}: {statistics.median(cpus) * 1e3:.1f} ms of CPU a thread, {min(walls) * 1e3:.1f} ms wall")


if __name__ == "__main__":
    main()
