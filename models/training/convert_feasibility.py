"""Makes models/lung-nodule-lite's weights and golden patch from the feasibility network's state dict.

Usage: python convert_feasibility.py SOURCE_FOLDER MODEL_FOLDER

SOURCE_FOLDER holds `weights.safetensors` (PyTorch state dict) and `golden.safetensors` (`x`, `logits` by PyTorch in f32).
Values are copied bit by bit; only names change. Prints the SHA-256 that `model.toml` must state.
Versions used: numpy 2, safetensors 0.5 or later.
"""

import hashlib
import re
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

RENAMES = [
    (r"^enc\.", "encoder."),
    (r"^dec\.", "decoder."),
    (r"^up\.", "upsample."),
    (r"\.norm\.weight$", ".norm.gamma"),
    (r"\.norm\.bias$", ".norm.beta"),
]


def renamed(key: str) -> str:
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    weights = {renamed(k): np.ascontiguousarray(v) for k, v in load_file(source / "weights.safetensors").items()}
    save_file(weights, target / "weights.safetensors")
    golden = load_file(source / "golden.safetensors")
    save_file({"input": golden["x"], "logits": golden["logits"]}, target / "golden.safetensors")
    count = sum(v.size for v in weights.values())
    digest = hashlib.sha256((target / "weights.safetensors").read_bytes()).hexdigest()
    print(f"{len(weights)} tensors, {count} weights, sha256 {digest}")


if __name__ == "__main__":
    main()
