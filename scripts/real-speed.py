#!/usr/bin/env python3
"""Measures the main job on real chest series: see real-speed.sh, which prepares everything.

Usage: real-speed.py (step | batch) HILUM SHARED

SHARED holds data/ct and tools/judge_lesions.py. Everything runs on the CPU, in turns, ROUNDS times; means count.
Needs nibabel and numpy.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

ROUNDS = 2
STEPS = [0.5, 0.75, 1.0]
STEP_CASES = ["LIDC-IDRI-0003", "LIDC-IDRI-0006"]
MIN_CONFIDENCE = 0.5


def process(hilum: str, inputs: list[Path], out: Path, options: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of `hilum process`."""
    command = [hilum, "process", *inputs, "--out", out, "--device", "cpu", "--overwrite", *options]
    start, before = time.perf_counter(), os.times()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, cpu


def results(out: Path) -> tuple[dict, np.ndarray]:
    """Findings of the only study, and its label map: segment numbers, those of little confidence left out."""
    (file,) = out.glob("*/findings.json")
    findings = json.loads(file.read_text())
    labels = np.asarray(nibabel.load(file.with_name("labels.nii.gz")).dataobj)
    sure = [lesion["segment_number"] for lesion in findings["lesions"] if lesion["confidence"] >= MIN_CONFIDENCE]
    return findings, np.where(np.isin(labels, sure), labels, 0)


def judged(shared: Path, out: Path, case: str) -> str:
    """Nodules of three or more readers that were found, and false positives."""
    judge = [sys.executable, shared / "tools/judge_lesions.py", shared / "data/ct", out]
    lines = subprocess.run(judge, capture_output=True, text=True).stdout.splitlines()
    line = next(line for line in lines if line.startswith(f"{case}: "))
    return line.split(": ", 1)[1].split(" (")[0] + line.split(")", 1)[1].split(", candidates")[0]


def number_of(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels > 0]))


def step_rows(hilum: str, shared: Path, scratch: Path, case: str) -> None:
    times, outs = {step: [] for step in STEPS}, {step: scratch / f"{case}-{step}" for step in STEPS}
    network = {step: [] for step in STEPS}
    for _ in range(ROUNDS):
        for step in STEPS:
            options = ["--step", str(step), "--also", "nifti"]
            subprocess.run(["rm", "-rf", outs[step]], check=True)
            times[step].append(process(hilum, [shared / "data/ct" / case], outs[step], options))
            network[step].append(results(outs[step])[0]["timings_ms"]["network"] / 1e3)
    _, reference = results(outs[STEPS[0]])
    for step in STEPS:
        _, labels = results(outs[step])
        common = number_of(np.where(labels > 0, reference, 0))
        both = np.count_nonzero((labels > 0) & (reference > 0))
        dice = 2 * both / (np.count_nonzero(labels) + np.count_nonzero(reference))
        wall, cpu = (statistics.mean(values) for values in zip(*times[step]))
        shown = [f"{wall:.1f}", f"{cpu:.1f}", f"{statistics.mean(network[step]):.1f}", number_of(labels)]
        agreement = [f"{common} of {number_of(reference)}", f"{dice:.3f}", judged(shared, outs[step], case)]
        print(f"| {case} | {step} | {' | '.join(map(str, shown + agreement))} |", flush=True)


def compare_steps(hilum: str, shared: Path, scratch: Path) -> None:
    print("| series | step | wall s | CPU s | network s | lesions | of those at 0.5, overlapped | Dice to 0.5 | judged |")
    print("| --- " * 9 + "|")
    for case in STEP_CASES:
        step_rows(hilum, shared, scratch, case)


def compare_batch(hilum: str, shared: Path, scratch: Path) -> None:
    cases = sorted(path for path in (shared / "data/ct").iterdir() if path.is_dir())
    singly, together = [], []
    for turn in range(ROUNDS):
        each = [process(hilum, [case], scratch / f"{turn}-{case.name}", []) for case in cases]
        singly.append(tuple(map(sum, zip(*each))))
        together.append(process(hilum, cases, scratch / f"{turn}-all", []))
        (wall, cpu), (all_wall, all_cpu) = singly[-1], together[-1]
        print(f"turn {turn + 1}: {wall:.1f} s and {cpu:.1f} s of CPU singly, {all_wall:.1f} and {all_cpu:.1f} together")
    rows = [[statistics.mean(values) for values in zip(*turns)] for turns in (singly, together)]
    print(f"\n| {len(cases)} series | wall s | CPU s | cores kept busy |\n| --- | --- | --- | --- |")
    for name, (wall, cpu) in zip(("one after another", "one batch"), rows):
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {cpu / wall:.2f} |")
    ratio = statistics.mean(one[0] / other[0] for one, other in zip(singly, together))
    print(f"\nthroughput of the batch: {ratio:.2f} times")


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    compare = {"step": compare_steps, "batch": compare_batch}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as scratch:
        compare(sys.argv[2], Path(sys.argv[3]), Path(scratch))


if __name__ == "__main__":
    main()
