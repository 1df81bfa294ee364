"""PyTorch's outputs into the golden patches of an imported edition: `python golden.py TRAINED MODEL`.

The import fills MODEL/golden.safetensors with noise and with what the product makes of it; here the trained networks, as they
left training, say what they make of the same noise.
"""

import sys
import tomllib
from pathlib import Path

import torch
from networks import Classifier, segmenter
from safetensors.torch import load_file, save_file


def ensemble(trained, kind, network):
    """Every `KIND_K.pth`, in order."""
    for path in sorted(trained.glob(f"{kind}_*.pth")):
        net = network()
        net.load_state_dict(torch.load(path, weights_only=True))
        yield net.eval()


def copies(x, axes):
    """`x`, and its mirror images along every combination of axes."""
    all_ = [x]
    for axis in axes:
        all_ += [copy.flip([axis + 2]) for copy in all_]
    return all_


@torch.inference_mode()
def main(trained, model):
    golden = load_file(model / "golden.safetensors")
    axes = tomllib.loads((model / "model.toml").read_text())["classifier"]["mirror_axes"]
    expected = {
        "logits": torch.stack([net(golden["input"]) for net in ensemble(trained, "segmenter", segmenter)]).mean(0),
        "classifier.outputs": torch.stack(
            [net(copy) for net in ensemble(trained, "classifier", Classifier) for copy in copies(golden["classifier.input"], axes)]
        ).mean(0),
    }
    for name, values in expected.items():
        print(f"{name}: differs by at most {(values - golden[name]).abs().max():.2e}, largest {values.abs().max():.2f}")
        golden[name] = values.contiguous()
    save_file(golden, model / "golden.safetensors")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
