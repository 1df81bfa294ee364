#!/usr/bin/env python3
"""Compares the networks light and full on a patch of 96³ voxels with PyTorch and ONNX Runtime, f32, on the same cores.

Usage: network.py HILUM WORK_FOLDER [THREADS [NETWORK...]]

HILUM is the executable; the models for ONNX Runtime are exported to WORK_FOLDER. Everybody has the same layers with random
weights (equal counts of operations are checked) and as many cores as THREADS, all of them where that is left out. In each of
five rounds everybody runs once, in turns, in a process of its own: one run to warm up, then the median of three. The table has
the medians of the rounds; CPU time is that of all threads, and on a busy machine it alone means something. Peak memory is the
largest resident memory of such a process (VmHWM), its libraries included. Runs in the environment of network_peer.py.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

SIZE = 96
ROUNDS = 5
REPEAT = 3

# Of both sides' operations; ours are counted from the layers, PyTorch's where they run.
FLOP_TOLERANCE = 1e-6

PEER = Path(__file__).with_name("network_peer.py")


def output_of(command: list, threads: int) -> dict:
    """What a program prints as JSON on a number of cores."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("RAYON", "OMP", "MKL", "OPENBLAS")}
    run = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=os.environ | counts,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}:\n{run.stderr}")
    return json.loads(run.stdout)


def ours(hilum: str, name: str, threads: int) -> dict:
    options = ["--network", name, "--size", SIZE, "--repeat", REPEAT, "--device", "cpu", "--json"]
    found = output_of([hilum, "bench", *options], threads)
    network = found["network"]
    return {
        "wall_ms": network["median_ms"],
        "cpu_ms": network["median_cpu_ms"],
        "peak_memory_mib": found["peak_memory_mib"],
        "gflop": network["gflop"],
        "version": f"hilum {found['version']} ({found['instructions']})",
    }


def contestants(hilum: str, name: str, model: Path, threads: int) -> dict:
    def peer(framework: str, network: str | Path):
        command = [sys.executable, PEER, framework, network, SIZE, threads, REPEAT]
        return lambda: output_of(command, threads)

    return {
        "hilum": lambda: ours(hilum, name, threads),
        "PyTorch": peer("torch", name),
        "PyTorch, channels last": peer("torch-channels-last", name),
        "ONNX Runtime": peer("onnxruntime", model),
    }


def medians(runs: dict) -> dict[str, dict]:
    """Figures of everybody: the medians of rounds in which each runs once."""
    rounds = [{who: run() for who, run in runs.items()} for _ in range(ROUNDS)]

    def median(who: str, figure: str):
        values = [one[who][figure] for one in rounds]
        return statistics.median(values) if isinstance(values[0], float | int) else values[0]

    return {who: {figure: median(who, figure) for figure in rounds[0][who]} for who in runs}


def compare(hilum: str, work: Path, name: str, threads: int) -> str:
    """Prints the rows of one network; returns what they come to."""
    model = work / f"{name}-{SIZE}.onnx"
    output_of([sys.executable, PEER, "export", name, SIZE, model], threads)
    found = medians(contestants(hilum, name, model, threads))
    own, counted = found["hilum"], found["PyTorch"]["gflop"]
    if abs(own["gflop"] - counted) > FLOP_TOLERANCE * counted:
        sys.exit(f"{name}: {own['gflop']} GFLOP here, {counted} in PyTorch: these are not the same layers")
    for who, one in found.items():
        values = [f"{one['wall_ms']:.0f}", f"{one['cpu_ms']:.0f}", f"{one['peak_memory_mib']:.0f}"]
        ratios = [f"{own[key] / one[key]:.2f}" for key in ("wall_ms", "cpu_ms", "peak_memory_mib")]
        version = one["version"] + who.removeprefix("PyTorch") * ("PyTorch" in who)
        print(f"| {name} | {version} | {' | '.join(values + ratios)} |", flush=True)
    return summary(name, found)


def summary(name: str, found: dict[str, dict]) -> str:
    own, onnx = found["hilum"], found["ONNX Runtime"]
    layouts = [one for who, one in found.items() if who.startswith("PyTorch")]

    def ratio(figure: str, peers: list[dict]) -> str:
        """To the best of some peers."""
        return f"{own[figure] / min(peer[figure] for peer in peers):.2f}"

    times = [f"{ratio('wall_ms', peers)} (CPU {ratio('cpu_ms', peers)})" for peers in (layouts, [onnx])]
    memory = ratio("peak_memory_mib", layouts)
    return f"{name}: time {times[0]} of PyTorch's, {times[1]} of ONNX Runtime's; peak memory {memory} of PyTorch's"


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    hilum, work = sys.argv[1], Path(sys.argv[2])
    cores = len(os.sched_getaffinity(0))
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else cores
    if not 1 <= threads <= cores:
        sys.exit(f"{threads} threads are asked for; this process may use {cores} cores")
    print(f"A patch of {SIZE}³ voxels, f32, {threads} thread(s), {ROUNDS} rounds; the ratios are hilum's figure / the row's.\n")
    print("| network | program | wall ms | CPU ms | peak memory MiB | wall ratio | CPU ratio | memory ratio |")
    print("| --- " * 8 + "|")
    summaries = [compare(hilum, work, name, threads) for name in sys.argv[4:] or ["light", "full"]]
    print("\nTo the faster, and the smaller, of PyTorch's two memory layouts:\n\n" + "\n".join(summaries))


if __name__ == "__main__":
    main()
