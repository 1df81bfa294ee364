"""Writes src/deidentify/basic_profile.tsv: tag, action and name of every row of DICOM PS3.15 2026c, Table E.1-1.

The rows come from the Python package dicom-anonymizer 2.1.0, which collects them from the standard; names and VR come from
pydicom. Run: pip install dicom-anonymizer==2.1.0 pydicom==3.0.2 && python scripts/make-confidentiality-profile.py
"""

from pathlib import Path

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as rows
from pydicom.datadict import dictionary_keyword

ACTIONS = {
    "X": rows.X_TAGS,
    "Z": rows.Z_TAGS,
    "D": rows.D_TAGS,
    "U": rows.U_TAGS,
    "Z/D": rows.Z_D_TAGS,
    "X/Z": rows.X_Z_TAGS,
    "X/D": rows.X_D_TAGS,
    "X/Z/D": rows.X_Z_D_TAGS,
    "X/Z/U*": rows.X_Z_U_STAR_TAGS,
}


def keyword(tag):
    try:
        return dictionary_keyword(tag)
    except KeyError:
        return ""


lines = ["# DICOM PS3.15 2026c, Table E.1-1, Basic Profile; made by scripts/make-confidentiality-profile.py"]
for action, tags in ACTIONS.items():
    # Repeating groups (curves, overlays) and private tags are rules, not rows.
    for tag in sorted(tag for tag in tags if len(tag) == 2):
        lines.append(f"{tag[0]:04x}{tag[1]:04x}\t{action}\t{keyword(tag)}")
lines[1:] = sorted(lines[1:])
path = Path(__file__).parent.parent / "src/deidentify/basic_profile.tsv"
path.write_text("\n".join(lines) + "\n")
