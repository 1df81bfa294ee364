//! The tables of an evaluation as CSV, and its summary as JSON.

use super::froc::Point;
use super::scan::{Compared, Finder, Scan};
use super::truth::Nodule;
use super::{Error, Inputs, Summary, strata};

const LESIONS_CSV: &str = "lesions.csv";
const CANDIDATES_CSV: &str = "candidates.csv";
const FROC_CSV: &str = "froc.csv";

#[rustfmt::skip]
const LESION_COLUMNS: [&str; 17] = [
    "seriesuid", "nodule", "coordX", "coordY", "coordZ", "diameter_mm", "readers", "type", "attachment", "outcome", "lesion",
    "confidence", "distance_mm", "found_volume_mm3", "volume_error_percent", "dice", "surface_distance_mm",
];

/// The bytes of `summary.json`.
pub(super) fn json(summary: &Summary) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(summary).map_err(|e| Error::Encode {
        file: "summary.json",
        reason: e.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A row for each nodule of the truth, whether it counts or not.
pub(super) fn lesions(inputs: &Inputs, summary: &Summary) -> Result<Vec<u8>, Error> {
    let mut rows = vec![LESION_COLUMNS.map(str::to_owned).to_vec()];
    let parameters = &summary.parameters;
    for scan in &inputs.scans {
        for compared in &scan.nodules {
            let outcome = outcome(compared, parameters.threshold);
            let uid = &scan.series_instance_uid;
            rows.push(lesion(
                uid,
                &compared.nodule,
                outcome,
                compared.finder.as_ref(),
            ));
        }
    }
    for case in &inputs.missing {
        for nodule in &case.nodules {
            rows.push(lesion(
                &case.series_instance_uid,
                nodule,
                "not-processed",
                None,
            ));
        }
    }
    csv(LESIONS_CSV, rows)
}

fn outcome(compared: &Compared, threshold: f64) -> &'static str {
    match compared.found_at(threshold) {
        _ if !compared.counts => "not-counted",
        Some(_) => "found",
        None => "missed",
    }
}

fn lesion(uid: &str, nodule: &Nodule, outcome: &str, finder: Option<&Finder>) -> Vec<String> {
    let [x, y, z] = nodule.centroid_lps_mm;
    let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
    let overlap = finder.and_then(|finder| finder.overlap);
    vec![
        uid.to_owned(),
        nodule.label.to_string(),
        x.to_string(),
        y.to_string(),
        z.to_string(),
        nodule.diameter_mm.to_string(),
        nodule.readers.to_string(),
        strata::type_name(nodule).unwrap_or_default(),
        nodule.attachment.clone().unwrap_or_default(),
        outcome.to_owned(),
        finder.map_or_else(String::new, |f| f.id.to_string()),
        finder.map_or_else(String::new, |f| f.confidence.to_string()),
        number(finder.map(|f| f.distance_mm)),
        number(finder.map(|f| f.volume_mm3)),
        number(finder.and_then(|f| f.volume_error_percent)),
        number(overlap.map(|o| o.dice)),
        number(overlap.map(|o| o.surface_distance_mm)),
    ]
}

/// Every candidate of the evaluated series, as LUNA16 takes results.
pub(super) fn candidates(scans: &[Scan]) -> Result<Vec<u8>, Error> {
    let header = ["seriesuid", "coordX", "coordY", "coordZ", "probability"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for scan in scans {
        for candidate in &scan.candidates {
            let [x, y, z] = candidate.centroid_lps_mm.to_array();
            let numbers = [x, y, z, candidate.confidence].map(|number| number.to_string());
            rows.push([vec![scan.series_instance_uid.clone()], numbers.to_vec()].concat());
        }
    }
    csv(CANDIDATES_CSV, rows)
}

/// The points of the curve; the first, of threshold `inf`, accepts nothing.
pub(super) fn froc(curve: &[Point]) -> Result<Vec<u8>, Error> {
    let header = ["threshold", "false_positives_per_scan", "sensitivity"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(curve.iter().map(|point| {
        [
            point.threshold,
            point.false_positives_per_scan,
            point.sensitivity,
        ]
        .map(|number| number.to_string())
        .to_vec()
    }));
    csv(FROC_CSV, rows)
}

fn csv(file: &'static str, rows: Vec<Vec<String>>) -> Result<Vec<u8>, Error> {
    let refused = |reason: String| Error::Encode { file, reason };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row)
            .map_err(|e| refused(e.to_string()))?;
    }
    writer.into_inner().map_err(|e| refused(e.to_string()))
}
