"""Runs a network in one framework, in a process that does nothing else, and prints its figures as JSON.

Usage: network_peer.py (torch | torch-channels-last) NETWORK SIZE THREADS REPEAT
       network_peer.py onnxruntime MODEL.onnx SIZE THREADS REPEAT
       network_peer.py export NETWORK SIZE MODEL.onnx

NETWORK is light or full. The last form writes the model that ONNX Runtime runs, and checks that both give the same logits.
network.py runs these in turns with ours. Needs torch; for the last form also onnx, onnxscript and onnxruntime.
"""

import json
import statistics
import sys
import time
from pathlib import Path

CHANNELS = {"light": [16, 32, 64, 128], "full": [32, 64, 128, 256, 320]}
CLASSES = 3

# Of the largest logit: both are f32 and sum in another order.
TOLERANCE = 1e-4


def unet(channels: list[int]):
    """nnU-Net's plain U-Net: two convolutions a stage, each with instance norm and leaky ReLU; random weights."""
    from torch import cat, nn

    def block(c_in: int, c_out: int, stride: int) -> nn.Module:
        conv = nn.Conv3d(c_in, c_out, 3, stride, padding=1)
        return nn.Sequential(conv, nn.InstanceNorm3d(c_out, affine=True), nn.LeakyReLU(0.01))

    def stage(c_in: int, c_out: int, stride: int) -> nn.Module:
        return nn.Sequential(block(c_in, c_out, stride), block(c_out, c_out, 1))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            skips, deeper = channels[:-1], channels[1:]
            self.encoder = nn.ModuleList([stage(1, channels[0], 1)])
            self.encoder.extend(stage(c, deep, 2) for c, deep in zip(skips, deeper))
            upward = list(zip(reversed(skips), reversed(deeper)))
            self.upsample = nn.ModuleList(nn.ConvTranspose3d(deep, c, 2, stride=2) for c, deep in upward)
            self.decoder = nn.ModuleList(stage(2 * c, c, 1) for c, _ in upward)
            self.head = nn.Conv3d(channels[0], CLASSES, 1)

        def forward(self, x):
            skips = []
            for encode in self.encoder:
                x = encode(x)
                skips.append(x)
            skips.pop()
            for upsample, decode in zip(self.upsample, self.decoder):
                x = decode(cat([upsample(x), skips.pop()], dim=1))
            return self.head(x)

    return UNet().eval()


def gflop(network, patch) -> float:
    """Multiplications and additions of the convolutions in one forward pass."""
    from torch import nn

    total = 0

    def count(layer, inputs, output) -> None:
        nonlocal total
        taps = layer.weight[0, 0].numel()
        transposed = isinstance(layer, nn.ConvTranspose3d)
        positions = inputs[0] if transposed else output
        others = layer.out_channels if transposed else layer.in_channels
        total += 2 * positions.numel() * others * taps

    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(patch)
    for hook in hooks:
        hook.remove()
    return total / 1e9


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, its libraries included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) / 1024


def figures(forward, repeat: int) -> dict[str, float]:
    """Medians after one run that warms up."""
    before_mib = peak_memory_mib()
    forward()
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        forward()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    wall_ms, cpu_ms = (statistics.median(times) * 1e3 for times in (walls, cpus))
    memory = {"peak_memory_mib": peak_memory_mib(), "imported_mib": before_mib}
    return {"wall_ms": wall_ms, "cpu_ms": cpu_ms} | memory


def run_torch(name: str, size: int, threads: int, repeat: int, channels_last: bool) -> dict:
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    network = unet(CHANNELS[name]).to(memory_format=layout)
    patch = torch.randn(1, 1, size, size, size).contiguous(memory_format=layout)
    with torch.inference_mode():
        found = figures(lambda: network(patch), repeat)
        # Last, so that its own needs are not in the peak.
        found["gflop"] = gflop(network, patch)
    return found | {"version": f"PyTorch {torch.__version__}"}


def run_onnxruntime(model: str, size: int, threads: int, repeat: int) -> dict:
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    patch = numpy.random.default_rng(1).standard_normal((1, 1, size, size, size), numpy.float32)
    name = session.get_inputs()[0].name
    found = figures(lambda: session.run(None, {name: patch}), repeat)
    return found | {"version": f"ONNX Runtime {onnxruntime.__version__}"}


def export(name: str, size: int, path: str) -> dict:
    import onnxruntime
    import torch

    network, patch = unet(CHANNELS[name]), torch.randn(1, 1, size, size, size)
    with torch.inference_mode():
        torch.onnx.export(network, (patch,), path, dynamo=True, external_data=False, verbose=False)
        expected = network(patch).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: patch.numpy()})
    difference = float(abs(found - expected).max() / abs(expected).max())
    if not difference <= TOLERANCE:
        sys.exit(f"{name}: ONNX Runtime's logits differ from PyTorch's by {difference:.1e} of the largest")
    return {"difference": difference}


def main() -> None:
    match sys.argv[1:]:
        case ["export", name, size, path]:
            found = export(name, int(size), path)
        case [("torch" | "torch-channels-last") as layout, name, *numbers]:
            found = run_torch(name, *map(int, numbers), layout != "torch")
        case ["onnxruntime", model, *numbers]:
            found = run_onnxruntime(model, *map(int, numbers))
        case _:
            sys.exit(__doc__)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
