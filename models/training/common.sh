# What the trainings share, sourced by them after `code` is set: the data, and a Python with PyTorch.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
work="$cache/training"
device="${DEVICE:-cpu}"
python="$work/venv/bin/python"
export PYTHONPATH="models/training/shared:$code"
# One core a training: NumPy's threads only wait beside it, and memory that goes back to the system comes back as page faults.
export OPENBLAS_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000
[ -d ../shared/data/ct ] || { echo "../shared/data is missing: nothing to train on." >&2; exit 3; }
install_missing python3 python3-venv
[ -x "$python" ] || python3 -m venv "$work/venv"
"$python" -m pip install --quiet --requirement models/training/requirements.txt
