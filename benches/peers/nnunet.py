#!/usr/bin/env python3
"""Compares a whole run, file in to label map out, with nnU-Net's own predictor: the same model, file and cores.

Usage: nnunet.py HILUM WORK_FOLDER DICOM_FOLDER [THREADS [ROUNDS]]

HILUM is the executable. Model (random weights, of the usual size) and file are made in WORK_FOLDER, and the model imported,
before anything is timed. In each round everybody runs once, in turns, in a process of its own; the table has the medians. CPU
time is that of all threads; peak memory the largest resident memory of the process, its libraries included (ru_maxrss). Ours
writes findings.json and the DICOM objects too. Runs in the environment of models/training/nnunet/requirements.txt.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = Path(__file__).with_name("nnunet_peer.py")
MAKER = Path(__file__).parents[2] / "models/training/nnunet/full_size.py"
# Both labels as structures: the components of lesions would be chosen and measured, which nnU-Net does not do.
LABEL = """[[labels]]
name = "{name}"
kind = "organ"
category = {{ value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }}
type = {{ value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }}
"""
FIGURES = {"wall_s": "{:.1f}", "cpu_s": "{:.1f}", "peak_memory_mib": "{:.0f}"}


def measured(command: list, threads: int) -> dict:
    """Runs a program on a number of cores; what it prints as JSON and what the system says of it."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("RAYON", "OMP", "MKL", "OPENBLAS")}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            env=os.environ | counts,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
        output.seek(0)
        printed = json.load(output)
    system = {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_memory_mib": used.ru_maxrss / 1024}
    return {"printed": printed} | system


def prepare(hilum: str, work: Path, dicom: str, threads: int) -> None:
    """Makes the model and the file where they are missing, and imports the model."""
    if not (work / "model").exists():
        subprocess.run([sys.executable, MAKER, work / "making"], check=True)
        (work / "making").rename(work / "model")
    measured([sys.executable, PEER, "image", dicom, work / "case.nii.gz"], threads)
    shutil.rmtree(work / "imported", ignore_errors=True)
    terms = work / "labels.toml"
    terms.write_text("".join(LABEL.format(name=name) for name in ("organ", "lesion")))
    options = ["--configuration", "3d_fullres", "--labels", terms, "--out", work / "imported", "--json"]
    measured([hilum, "model", "import", work / "model", *options], threads)


def ours(hilum: str, work: Path, threads: int) -> dict:
    shutil.rmtree(work / "ours", ignore_errors=True)
    options = ["--model", work / "imported", "--out", work / "ours", "--also", "nifti", "--device", "cpu", "--json"]
    return measured([hilum, "process", work / "case.nii.gz", *options], threads)


def theirs(work: Path, threads: int) -> dict:
    options = [work / "model", work / "case.nii.gz", work / "labels", threads]
    return measured([sys.executable, PEER, "predict", *options], threads)


def table(runs: dict[str, list[dict]]) -> None:
    medians = {who: [statistics.median(run[figure] for run in rounds) for figure in FIGURES] for who, rounds in runs.items()}
    print("| program | wall s | CPU s | peak memory MiB | wall ratio | CPU ratio | memory ratio |")
    print("| --- " * 7 + "|")
    for who, values in medians.items():
        shown = [form.format(value) for form, value in zip(FIGURES.values(), values)]
        ratios = [f"{own / value:.2f}" for own, value in zip(medians["hilum"], values)]
        print(f"| {who} | {' | '.join(shown + ratios)} |")


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    hilum, work, dicom = sys.argv[1], Path(sys.argv[2]) / "nnunet", sys.argv[3]
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else len(os.sched_getaffinity(0))
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    work.mkdir(parents=True, exist_ok=True)
    prepare(hilum, work, dicom, threads)
    runs = {"hilum": [], "nnU-Net": []}
    for _ in range(rounds):
        runs["hilum"].append(ours(hilum, work, threads))
        runs["nnU-Net"].append(theirs(work, threads))
    last = runs["nnU-Net"][-1]["printed"]
    print(f"{last['version']}; {last['size']} voxels for the network, {threads} thread(s), {rounds} round(s)\n")
    table(runs)
    stages = ", ".join(f"{name.removesuffix('_s')} {last[name]:.1f} s" for name in last if name.endswith("_s"))
    print(f"\nOf nnU-Net's last run: {stages}.")
    (labels,) = (work / "ours").glob("*/labels.nii.gz")
    same = measured([sys.executable, PEER, "compare", labels, work / "labels.nii.gz"], threads)["printed"]
    print(f"Both label maps are equal in {100 * same['equal']:.3f}% of the voxels; largest labels {same['labels']}.")


if __name__ == "__main__":
    main()
