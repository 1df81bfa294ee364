#!/usr/bin/env python3
"""Prints how far the volume of a digital ball or ellipsoid, counted in voxels, is from its own: the table of docs/pet-measurements.md.

    python3 scripts/digital-volumes.py

Needs NumPy. Voxels are cubes of 1; a voxel belongs to a body if its centre does; places and rotations are random, seed 1.
"""
import numpy as np

random = np.random.default_rng(1)


def rotation():
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def error(semi_axes, turn):
    reach = int(semi_axes.max()) + 2
    at = np.arange(-reach, reach + 1)
    axes = [at + off for off in random.random(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ turn
    count = ((points / semi_axes) ** 2).sum(1) <= 1
    return count.sum() / (4 / 3 * np.pi * semi_axes.prod()) - 1


def main():
    print("diameter  balls: SD, worst  ellipsoids: SD, worst")
    for diameter in (5, 6, 7, 8, 10, 12, 15, 20):
        ball = np.full(3, diameter / 2)
        balls = np.array([error(ball, np.eye(3)) for _ in range(1500)])
        longer = lambda: ball * np.array([1, random.uniform(1, 2), random.uniform(1, 3)])
        ellipsoids = np.array([error(longer(), rotation()) for _ in range(400)])
        cells = [f"{100 * e.std():.1f} %, {100 * abs(e).max():.1f} %" for e in (balls, ellipsoids)]
        print(f"{diameter:8}  {cells[0]:16}  {cells[1]}")


main()
