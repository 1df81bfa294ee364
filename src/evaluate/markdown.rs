//! The figures of an evaluation as text: `summary.md`, and a few lines for a terminal.

use super::bootstrap::Estimate;
use super::summary::{Series, Summary};
use super::{Assessments, Bin, Group, Stratum, TypePair};
use std::fmt::Write;

/// Fewer scans than this say little about others, however they are resampled.
const FEW_SCANS: usize = 30;

/// The bytes of `summary.md`.
pub(super) fn page(summary: &Summary) -> String {
    let parts = [
        opening(summary),
        detection(summary),
        strata(summary),
        outlines(summary),
        calibration(summary),
        summary
            .assessments
            .as_ref()
            .map_or_else(String::new, assessments),
        series(summary),
    ];
    parts.join("\n")
}

/// The figures that matter most.
pub(super) fn short(summary: &Summary) -> String {
    let detection = &summary.detection;
    let threshold = summary.parameters.threshold;
    let calibration = &summary.calibration;
    let mut rows = vec![
        (
            format!("nodules found at {threshold}"),
            format!("{} of {}", detection.found, detection.nodules),
        ),
        ("sensitivity".into(), shown(&detection.sensitivity, 2)),
        (
            "false positives a scan".into(),
            shown(&detection.false_positives_per_scan, 2),
        ),
        (
            "CPM (mean of 1/8 to 8)".into(),
            shown(&summary.froc.competition_performance_metric, 2),
        ),
        ("Dice".into(), shown(&summary.overlap.dice, 2)),
        (
            "surface distance, mm".into(),
            shown(&summary.overlap.surface_distance_mm, 2),
        ),
        (
            "calibration error (ECE)".into(),
            shown(&calibration.expected_calibration_error, 3),
        ),
    ];
    let missing = summary.not_processed.len();
    if missing > 0 {
        let nodules: usize = summary.not_processed.iter().map(|s| s.nodules).sum();
        let text = format!("{missing} series with {nodules} nodule(s), in no figure above");
        rows.push(("not processed".into(), text));
    }
    let line = |(name, value): &(String, String)| format!("{name:<26}{value}\n");
    rows.iter().map(line).collect()
}

/// A figure with its interval and n.
fn shown(estimate: &Estimate, digits: usize) -> String {
    let Estimate {
        value,
        interval_95,
        n,
    } = estimate;
    let Some(value) = value else {
        return format!("none (n = {n})");
    };
    let interval = interval_95.map_or_else(String::new, |[lower, upper]| {
        format!("{lower:.digits$} to {upper:.digits$}, ")
    });
    format!("{value:.digits$} ({interval}n = {n})")
}

fn opening(summary: &Summary) -> String {
    let parameters = &summary.parameters;
    let scans = summary.detection.scans;
    let mut text = format!(
        "# Evaluation\n\n{scans} series, nodules of {} or more readers, threshold {}. In brackets: 95 % intervals of {} \
         bootstrap resamples of the series, and n.\n",
        parameters.readers, parameters.threshold, parameters.bootstrap
    );
    if scans < FEW_SCANS {
        let few = "These are few series: the figures say what was seen in them, and nothing of others. An interval without width \
                   only says that no resample of them differs.";
        write_line(&mut text, &format!("\n{few}"));
    }
    for model in &summary.models {
        let hash = model.sha256.get(..12).unwrap_or(&model.sha256);
        write_line(
            &mut text,
            &format!("\nModel: {} {} (sha256 {hash}…)", model.name, model.version),
        );
    }
    text
}

fn detection(summary: &Summary) -> String {
    let detection = &summary.detection;
    let mut text = format!(
        "## Detection\n\n| at confidence ≥ {} | |\n| --- | --- |\n| nodules found | {} of {} |\n| sensitivity | {} |\n\
         | false positives a scan | {} |\n\n",
        summary.parameters.threshold,
        detection.found,
        detection.nodules,
        shown(&detection.sensitivity, 3),
        shown(&detection.false_positives_per_scan, 2),
    );
    text += "| false positives a scan | sensitivity |\n| --- | --- |\n";
    for point in &summary.froc.operating_points {
        let rate = rate(point.false_positives_per_scan);
        write_line(
            &mut text,
            &format!("| {rate} | {} |", shown(&point.sensitivity, 3)),
        );
    }
    let mean = shown(&summary.froc.competition_performance_metric, 3);
    write_line(&mut text, &format!("| mean (CPM) | {mean} |"));
    if let Some(lowest) = summary.froc.lowest_confidence {
        write_line(
            &mut text,
            &format!(
                "\nThe least confident candidate has {lowest:.3}: what lies below was not written by `hilum process`."
            ),
        );
    }
    text
}

/// 0.125 as 1/8.
pub(super) fn rate(false_positives_per_scan: f64) -> String {
    match false_positives_per_scan < 1.0 {
        true => format!("1/{}", 1.0 / false_positives_per_scan),
        false => false_positives_per_scan.to_string(),
    }
}

fn strata(summary: &Summary) -> String {
    let strata = &summary.strata;
    let mut text = "## Sensitivity by size, type and attachment\n".to_owned();
    let size: Vec<&Stratum> = strata.by_size.iter().chain(&strata.from_5_mm).collect();
    let groups = [
        ("diameter", size),
        ("type", strata.by_type.iter().collect()),
        ("attachment", strata.by_attachment.iter().collect()),
    ];
    for (name, group) in groups.iter().filter(|(_, group)| !group.is_empty()) {
        let threshold = summary.parameters.threshold;
        write_line(
            &mut text,
            &format!(
                "\n| {name} | found | at confidence ≥ {threshold} | at 1 false positive a scan |\n| --- | --- | --- | --- |"
            ),
        );
        for stratum in group {
            write_line(
                &mut text,
                &format!(
                    "| {} | {} of {} | {} | {} |",
                    stratum.name,
                    stratum.found,
                    stratum.n,
                    shown(&stratum.sensitivity, 2),
                    shown(&stratum.sensitivity_at_1_fp_per_scan, 2)
                ),
            );
        }
    }
    text
}

fn outlines(summary: &Summary) -> String {
    let overlap = &summary.overlap;
    format!(
        "## Outlines of found nodules\n\n| mean | |\n| --- | --- |\n| Dice | {} |\n| average symmetric surface distance, mm | {} |\n\
         | volume error, % | {} |\n| absolute volume error, % | {} |\n",
        shown(&overlap.dice, 3),
        shown(&overlap.surface_distance_mm, 2),
        shown(&overlap.volume_error_percent, 1),
        shown(&overlap.absolute_volume_error_percent, 1),
    )
}

fn calibration(summary: &Summary) -> String {
    let calibration = &summary.calibration;
    let mut text = format!(
        "## Calibration\n\n{} candidates, of which {} hit a nodule. Expected calibration error over bins of equal count: {}; \
         Brier score: {}.\n\n| bin | n | confidence | mean | share of hits |\n| --- | --- | --- | --- | --- |\n",
        calibration.n,
        calibration.hits,
        shown(&calibration.expected_calibration_error, 3),
        shown(&calibration.brier, 3),
    );
    for (number, bin) in (1..).zip(&calibration.bins) {
        let Bin {
            n,
            lowest,
            highest,
            confidence,
            observed,
        } = bin;
        write_line(
            &mut text,
            &format!(
                "| {number} | {n} | {lowest:.3} to {highest:.3} | {confidence:.3} | {observed:.3} |"
            ),
        );
    }
    text
}

fn assessments(assessments: &Assessments) -> String {
    let mut text = "## What the classifier says\n\n| band, review by a person | candidates | hits |\n| --- | --- | --- |\n".to_owned();
    for Group { name, n, hits } in assessments.bands.iter().chain(&assessments.review) {
        write_line(&mut text, &format!("| {name} | {n} | {hits} |"));
    }
    let agreement = shown(&assessments.type_agreement, 2);
    write_line(
        &mut text,
        &format!("\nType right: {agreement}.\n\n| type | told | nodules |\n| --- | --- | --- |"),
    );
    for TypePair { truth, told, n } in &assessments.types {
        let [truth, told] =
            [truth, told].map(|kind| serde_json::to_value(kind).unwrap_or_default());
        let name = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        write_line(
            &mut text,
            &format!("| {} | {} | {n} |", name(&truth), name(&told)),
        );
    }
    text
}

fn series(summary: &Summary) -> String {
    let mut text = "## Series\n\n| series | found | false positives | candidates | |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for series in &summary.series {
        let Series {
            series_instance_uid: uid,
            found,
            nodules,
            false_positives,
            candidates,
            ..
        } = series;
        write_line(
            &mut text,
            &format!(
                "| {uid} | {found} of {nodules} | {false_positives} | {candidates} | {} |",
                remark(series)
            ),
        );
    }
    for series in &summary.not_processed {
        let uid = &series.series_instance_uid;
        write_line(
            &mut text,
            &format!(
                "| {uid} | | | | not processed: {} nodule(s) are in no figure |",
                series.nodules
            ),
        );
    }
    text
}

/// What is not as it should be with a series.
fn remark(series: &Series) -> String {
    let mut remarks = Vec::new();
    if series.status != "done" {
        let reason = series.reason.as_deref().unwrap_or_default();
        remarks.push(format!("{} {reason}", series.status));
    }
    if let Some(why) = series.without_overlap {
        let why = serde_json::to_value(why).unwrap_or_default();
        remarks.push(format!("no overlap: {}", why.as_str().unwrap_or_default()));
    }
    remarks.join("; ")
}

fn write_line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
