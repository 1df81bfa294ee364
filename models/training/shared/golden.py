"""PyTorch's outputs into the golden patches of an imported model: `python golden.py TRAINED MODEL`.

The import fills MODEL/golden.safetensors with noise and with what the product makes of it; here the trained networks, as they
left training, say what they make of the same noise. They are of the `networks.py` that PYTHONPATH finds.
"""

import sys
import tomllib
from pathlib import Path

import networks
import torch
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
    manifest = tomllib.loads((model / "model.toml").read_text())
    segmenters = ensemble(trained, "segmenter", networks.segmenter)
    expected = {"logits": torch.stack([net(golden["input"]) for net in segmenters]).mean(0)}
    if "classifier" in manifest:
        patches = copies(golden["classifier.input"], manifest["classifier"]["mirror_axes"])
        classifiers = ensemble(trained, "classifier", networks.Classifier)
        expected["classifier.outputs"] = torch.stack([net(patch) for net in classifiers for patch in patches]).mean(0)
    for name, values in expected.items():
        print(f"{name}: differs by at most {(values - golden[name]).abs().max():.2e}, largest {values.abs().max():.2f}")
        golden[name] = values.contiguous()
    save_file(golden, model / "golden.safetensors")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
