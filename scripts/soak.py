"""What a node's memory and descriptors do while it works.

    python soak.py sample PID PORT OUT.csv       once a second until the process ends: s, VmRSS in KiB, descriptors, threads,
                                                 instances received (its /metrics)
    python soak.py report IN.csv OUT.svg         figures to stdout, a plot of the memory over the instances
"""

import os
import sys
import time
import urllib.request


def metrics(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("hilum_instances_received_total "):
                return int(float(line.split()[1]))
    return 0


def sample(pid, port, path):
    start = time.monotonic()
    with open(path, "w") as out:
        while True:
            try:
                status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                received = metrics(port)
            except (OSError, ValueError):
                return
            rss_kib = status["VmRSS"].split()[0]
            row = (f"{time.monotonic() - start:.1f}", rss_kib, descriptors, status["Threads"].strip(), received)
            print(*row, sep=",", file=out, flush=True)
            time.sleep(1)


def slope(xs, ys):
    """Least squares."""
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / spread if spread else 0.0


def report(path, svg):
    rows = [[float(value) for value in line.split(",")] for line in open(path)]
    # Before the first instance and after the last one it only rests.
    busy = [row for row in rows if 0 < row[4] < rows[-1][4]]
    half = busy[len(busy) // 2 :]
    rss = [row[1] / 1024 for row in rows]
    growth = slope([row[4] / 1000 for row in half], [row[1] / 1024 for row in half])
    print(f"{rows[-1][4]:.0f} instances in {busy[-1][0] - busy[0][0]:.0f} s")
    print(f"memory (VmRSS): {rss[0]:.0f} MiB at the start, {max(rss):.0f} MiB at most, {rss[-1]:.0f} MiB at the end")
    print(f"slope of its second half: {growth:+.2f} MiB per 1000 instances")
    print(f"descriptors: {rows[0][2]:.0f} at the start, {max(r[2] for r in rows):.0f} at most, {rows[-1][2]:.0f} at the end")
    print(f"threads: {rows[0][3]:.0f} at the start, {max(r[3] for r in rows):.0f} at most, {rows[-1][3]:.0f} at the end")
    plot(rows, svg)


def plot(rows, path):
    width, height, left, bottom, top = 720, 320, 60, 44, 34
    most_s = max(row[0] for row in rows)
    most_mib = 1.15 * max(row[1] for row in rows) / 1024
    most_received = max(row[4] for row in rows) or 1

    def at(x, y):
        return left + x * (width - left - 60), height - bottom - y * (height - bottom - top)

    def line(points, name):
        return f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'

    def text(x, y, words, anchor):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'

    parts = []
    for k in range(5):
        x, y = at(k / 4, 0)
        parts.append(text(x, y + 18, f"{k / 4 * most_s:.0f} s", "middle"))
        x, y = at(0, k / 4)
        end, _ = at(1, 0)
        parts.append(f'<line class="grid" x1="{x}" y1="{y:.1f}" x2="{end:.1f}" y2="{y:.1f}"/>')
        parts.append(text(x - 6, y + 4, f"{k / 4 * most_mib:.0f}", "end"))
        parts.append(text(end + 6, y + 4, f"{k / 4 * most_received:.0f}", "start"))
    parts.append(line([at(r[0] / most_s, r[4] / most_received) for r in rows], "received"))
    parts.append(line([at(r[0] / most_s, r[1] / 1024 / most_mib) for r in rows], "memory"))
    parts.append(text(left, 20, "memory in MiB (thick, left) and instances received (thin, right)", "start"))
    style = """
    text { font: 12px sans-serif; fill: #222 } polyline { fill: none }
    .grid { stroke: #8886; stroke-width: 1 } .memory { stroke: #0a6ebd; stroke-width: 2.5 } .received { stroke: #888; stroke-width: 1.2 }
    @media (prefers-color-scheme: dark) { text { fill: #ddd } .memory { stroke: #5db4ff } }"""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    title = "<title>Memory of a node while it takes small studies</title>"
    with open(path, "w") as out:
        out.write("\n".join([head, title, f"<style>{style}\n</style>", *parts, "</svg>", ""]))


if __name__ == "__main__":
    {"sample": sample, "report": report}[sys.argv[1]](*sys.argv[2:])
