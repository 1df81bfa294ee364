"""What the trainings share: AdamW with one cycle of rates, and going on where they were stopped."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

SHOWN, KEPT = 100, 250  # every so many steps


def arguments(folds, steps=None, rate=None):
    """The command line of what is done once a fold; of a training, its steps and its rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", required=True, choices=folds)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    return args


def train(net, samples, loss_of, args, name, weight_decay, warm_up):
    """Trains to `args.out / name.pth`, which is left alone if it is there.

    `loss_of(progress)`, progress from 0 to 1, draws a batch of `samples` and gives its loss and what to show of it.
    `samples` has a generator `rng` and may have places `hard` to remember.
    """
    final, resume = args.out / f"{name}.pth", args.out / f"{name}.resume.pth"
    net.to(args.device, memory_format=torch.channels_last_3d)
    if final.exists():
        net.load_state_dict(torch.load(final, weights_only=True))
        return
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, args.steps, pct_start=warm_up)
    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    first = 0
    if resume.exists():
        state = torch.load(resume, weights_only=False)
        for key, part in parts.items():
            part.load_state_dict(state[key])
        first, samples.hard, samples.rng.bit_generator.state = state["step"], state["hard"], state["rng"]
    start, shown = time.time(), []
    for step in range(first, args.steps):
        loss, figures = loss_of(step / args.steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        shown.append((loss.item(), *figures))
        if (step + 1) % SHOWN == 0:
            print(f"{step + 1} {np.mean(shown, 0).round(4)} {time.time() - start:.0f} s", flush=True)
            shown = []
        if (step + 1) % KEPT == 0:
            state = {key: part.state_dict() for key, part in parts.items()}
            state |= {"step": step + 1, "hard": samples.hard, "rng": samples.rng.bit_generator.state}
            torch.save(state, resume.with_suffix(".tmp"))
            resume.with_suffix(".tmp").rename(resume)
    torch.save(net.state_dict(), final.with_suffix(".tmp"))
    final.with_suffix(".tmp").rename(final)
    resume.unlink(missing_ok=True)


def forward(net, x, device):
    """The network in mixed precision, its output in full."""
    with torch.autocast(device, torch.bfloat16):
        return net(x.to(device, memory_format=torch.channels_last_3d)).float()
