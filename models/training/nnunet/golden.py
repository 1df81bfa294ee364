"""A file of golden values: tensors, and what made them."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

PACKAGES = ["nnunetv2", "dynamic-network-architectures", "torch", "numpy", "scipy", "scikit-image", "simpleitk"]


def save_golden(path: str | Path, tensors: dict[str, np.ndarray], about: dict) -> None:
    """Writes tensors and, in the header's `hilum`, what they are and which versions made them, as JSON."""
    about = {"versions": {name: version(name) for name in PACKAGES}} | about
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(contiguous, path, {"hilum": json.dumps(about)})
    Path(path).chmod(0o644)
