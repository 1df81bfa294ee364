//! Counts of the outside judge, FROC as LUNA16's script has it, calibration by NumPy.

use super::{OPTIONS, assert_close, evaluate, read, summary, testdata};
use hilum::evaluate::{Evaluation, Format, LunaFiles, Options, Results, Truth};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn golden() -> Value {
    read(&testdata().join("golden.json"))
}

fn synthetic(options: &Options) -> Evaluation {
    let [truth, results] = ["truth", "results"].map(|name| testdata().join(name));
    evaluate(&truth, &results, options).expect("evaluated")
}

/// Options of one of the judge's rows, and what it counted there.
fn options(row: &Value) -> Options {
    Options {
        readers: u32::try_from(row["readers"].as_u64().expect("number")).expect("small"),
        threshold: row["threshold"].as_f64().expect("number"),
        ..OPTIONS
    }
}

fn assert_counts(evaluation: &Evaluation, row: &Value) {
    let found = &summary(evaluation)["detection"];
    for (own, of_judge) in [
        ("scans", "cases"),
        ("found", "found"),
        ("nodules", "nodules"),
        ("false_positives", "false_positives"),
    ] {
        assert_eq!(found[own], row[of_judge], "{own} of {row}");
    }
}

#[test]
fn counts_are_those_of_the_outside_judge() {
    let golden = golden();
    for row in golden["judge"].as_array().expect("list") {
        assert_counts(&synthetic(&options(row)), row);
    }
}

#[test]
fn counts_in_real_label_maps_are_those_of_the_outside_judge() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    if !folder.exists() {
        println!(
            "SKIPPED, NO REAL LABEL MAP WAS READ: {} is missing",
            folder.display()
        );
        return;
    }
    let cases = ["0001", "0003", "0005", "0007"].map(|case| {
        let file = folder.join(format!("LIDC-IDRI-{case}.truth.json"));
        let truth = Truth::read(&file, &LunaFiles::default()).expect("truth");
        truth.cases.into_iter().next().expect("one series")
    });
    let truth = Truth {
        format: Format::Json,
        cases: cases.into(),
    };
    let results = Results::read(&testdata().join("lidc")).expect("results");
    let golden = golden();
    let rows = golden["judge_lidc"].as_array().expect("list");
    // One row for each number of readers: the thresholds are compared in the small truths.
    for row in rows.iter().filter(|row| row["threshold"] == 0.725) {
        let evaluation = Evaluation::new(truth.clone(), &results, &options(row));
        assert_counts(&evaluation.expect("evaluated"), row);
    }
}

#[test]
fn the_curve_and_its_operating_points_are_those_of_luna16() {
    let golden = &golden()["froc"];
    let evaluation = synthetic(&OPTIONS);
    let froc = &summary(&evaluation)["froc"];
    for (i, point) in froc["operating_points"]
        .as_array()
        .expect("list")
        .iter()
        .enumerate()
    {
        let expected = &golden["operating_points"][i];
        assert_close(&point["sensitivity"]["value"], expected, "operating point");
    }
    let mean = &froc["competition_performance_metric"];
    assert_close(&mean["value"], &golden["cpm"], "CPM");
    assert_eq!(mean["n"], 6, "nodules");
    let files = evaluation.files().expect("files");
    let table = files
        .iter()
        .find(|file| file.name == "froc.csv")
        .expect("froc.csv");
    let table = str::from_utf8(&table.bytes).expect("UTF-8");
    let rows: Vec<Vec<f64>> = table.lines().skip(1).map(numbers).collect();
    assert!(rows[0][0].is_infinite(), "{table}");
    assert_eq!(
        rows.len(),
        1 + golden["thresholds"].as_array().expect("list").len()
    );
    for (i, row) in rows.iter().enumerate() {
        assert_close(
            &row[1].into(),
            &golden["false_positives_per_scan"][i],
            "rate",
        );
        assert_close(&row[2].into(), &golden["sensitivity"][i], "sensitivity");
    }
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(',')
        .map(|n| n.parse().expect("number"))
        .collect()
}

#[test]
fn calibration_is_that_of_numpy() {
    let golden = &golden()["calibration"];
    let found = &summary(&synthetic(&OPTIONS))["calibration"];
    assert_eq!(
        [&found["n"], &found["hits"]],
        [&golden["n"], &golden["hits"]]
    );
    assert_close(
        &found["expected_calibration_error"]["value"],
        &golden["ece"],
        "ECE",
    );
    assert_close(&found["brier"]["value"], &golden["brier"], "Brier");
    let bins = found["bins"].as_array().expect("list");
    assert_eq!(bins.len(), 15);
    for (bin, expected) in bins.iter().zip(golden["bins"].as_array().expect("list")) {
        assert_eq!(bin["n"], expected["n"]);
        assert_close(&bin["confidence"], &expected["confidence"], "confidence");
        assert_close(&bin["observed"], &expected["observed"], "observed");
    }
}

#[test]
fn a_series_that_was_not_processed_is_listed_with_its_nodules() {
    let evaluation = synthetic(&OPTIONS);
    let summary = summary(&evaluation);
    let missing = summary["not_processed"].as_array().expect("list");
    assert_eq!(missing.len(), 1);
    assert_eq!(
        missing[0]["series_instance_uid"],
        "1.2.826.0.1.3680043.8.498.7.5"
    );
    assert_eq!(missing[0]["nodules"], 1);
    assert!(evaluation.table().contains("1 series with 1 nodule(s)"));
    let files = evaluation.files().expect("files");
    let lesions = files
        .iter()
        .find(|file| file.name == "lesions.csv")
        .expect("lesions.csv");
    let lesions = str::from_utf8(&lesions.bytes).expect("UTF-8");
    assert_eq!(lesions.matches("not-processed").count(), 1);
    assert_eq!(lesions.lines().count(), 1 + 9, "a row for each nodule");
}

#[test]
fn the_order_of_candidates_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let tables = |results: &Path| {
        let options = Options {
            bootstrap: 50,
            ..OPTIONS
        };
        let evaluation = evaluate(&testdata().join("truth"), results, &options);
        let files = evaluation.expect("evaluated").files().expect("files");
        let of_order = ["candidates.csv"];
        let files = files
            .into_iter()
            .filter(|file| !of_order.contains(&file.name.as_str()));
        files
            .map(|file| (file.name, String::from_utf8(file.bytes)))
            .collect::<Vec<_>>()
    };
    let expected = tables(&testdata().join("results"));
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for entry in fs::read_dir(testdata().join("results")).expect("folder") {
            let path = entry.expect("entry").path();
            let mut findings = read(&path.join("findings.json"));
            findings["lesions"]
                .as_array_mut()
                .expect("list")
                .shuffle(&mut rng);
            let own = folder.path().join(path.file_name().expect("name"));
            fs::create_dir_all(&own).expect("folder");
            fs::write(own.join("findings.json"), findings.to_string()).expect("written");
        }
        assert!(tables(folder.path()) == expected, "seed {seed}");
    }
}

#[test]
fn intervals_hold_the_figure_and_depend_on_the_seed_alone() {
    let options = Options {
        bootstrap: 200,
        ..OPTIONS
    };
    let found = summary(&synthetic(&options));
    assert_eq!(found, summary(&synthetic(&options)));
    let other = summary(&synthetic(&Options { seed: 1, ..options }));
    assert_ne!(found["detection"], other["detection"]);
    for figure in [
        &found["detection"]["sensitivity"],
        &found["detection"]["false_positives_per_scan"],
        &found["froc"]["competition_performance_metric"],
        &found["calibration"]["brier"],
    ] {
        let number = |value: &Value| value.as_f64().expect("number");
        let [lower, upper] = [0, 1].map(|i| number(&figure["interval_95"][i]));
        assert!(
            lower < upper && (lower..=upper).contains(&number(&figure["value"])),
            "{figure}"
        );
    }
    let none = summary(&synthetic(&OPTIONS));
    assert_eq!(none["detection"]["sensitivity"]["interval_95"], Value::Null);
}

#[test]
fn plots_are_readable_and_no_patient_is_in_any_file() {
    let evaluation = synthetic(&Options {
        bootstrap: 20,
        ..OPTIONS
    });
    let files = evaluation.files().expect("files");
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, Evaluation::FILES);
    for file in &files {
        let text = str::from_utf8(&file.bytes).expect("UTF-8");
        assert!(!text.contains("\"patient\""), "{}", file.name);
        if file.name.ends_with(".svg") {
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
            assert!(
                text.contains("<text") && !text.contains("NaN"),
                "{}",
                file.name
            );
        }
    }
    let svg = |name: &str| {
        let file = files.iter().find(|file| file.name == name).expect("plot");
        str::from_utf8(&file.bytes).expect("UTF-8").to_owned()
    };
    assert!(svg("froc.svg").contains("1/8") && svg("froc.svg").contains("6 nodules"));
    assert!(svg("size.svg").contains("8 to 15 mm"));
    assert!(svg("reliability.svg").contains("15 bins"));
}
