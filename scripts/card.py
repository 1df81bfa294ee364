"""Puts the short table of a nodule model's figures into its card: python card.py CARD.md OUT out-of-fold.json

OUT holds what scripts/cards.sh evaluated. The table stands between two comments; the rest of the card is by hand.
"""

import json
import re
import sys
from pathlib import Path

SETS = {
    "validate": "validate series, never trained on",
    "train": "train series: trained on, no proof",
    "inserted": "lesions inserted into the validate series",
}


def shown(estimate, digits):
    if estimate["value"] is None:
        return "none"
    interval = estimate.get("interval_95")
    text = f"{estimate['value']:.{digits}f}"
    return text if interval is None else f"{text} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def row(name, summary):
    detection, overlap, calibration = summary["detection"], summary["overlap"], summary["calibration"]
    one = next(p for p in summary["froc"]["operating_points"] if p["false_positives_per_scan"] == 1.0)
    cells = [
        name,
        detection["scans"],
        f"{detection['found']} of {detection['nodules']}",
        shown(detection["false_positives_per_scan"], 2),
        shown(one["sensitivity"], 2),
        shown(overlap["dice"], 2),
        shown(calibration["expected_calibration_error"], 3),
        calibration["n"],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def left_out(report):
    cells = [
        "train patients, each by networks that never saw it",
        f"{report['whole_scans']} and {report['patients'] - report['whole_scans']} crops",
        f"{report['found_at_half']} of {report['nodules']}",
        f"{report['false_a_scan_at_half']:.2f}",
        f"{report['froc']['1']:.2f}",
        "",
        f"{report['ece']:.3f}",
        report["candidates"],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main(card, out, report):
    lines = [
        "| | scans | found at confidence 0.5 | false positives a scan at 0.5 | sensitivity at 1 false positive a scan | Dice of those found | ECE | candidates |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        left_out(json.loads(report.read_text())),
    ]
    for folder, name in SETS.items():
        lines.append(row(name, json.loads((out / folder / "evaluation" / "summary.json").read_text())))
    table = "<!-- figures: scripts/cards.sh -->\n" + "\n".join(lines) + "\n<!-- end of figures -->"
    text = card.read_text()
    changed, count = re.subn(r"<!-- figures: .*?<!-- end of figures -->", lambda _: table, text, flags=re.S)
    if count != 1:
        sys.exit(f"{card}: no place for the figures")
    card.write_text(changed)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
