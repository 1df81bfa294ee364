//! `hilum bench`: which figures there are; how large they are is the machine's affair.

use super::hilum;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use std::fs;
use tempfile::tempdir;

#[test]
fn bench_times_the_stages_and_compare_shows_ratios() {
    let folder = tempdir().expect("folder");
    let [a, garbage, none] =
        ["a.json", "garbage.json", "none.json"].map(|name| folder.path().join(name));
    let mut bench = hilum();
    bench.args([
        "bench",
        "--preset",
        "tiny",
        "--no-network",
        "--repeat",
        "1",
        "--device",
        "cpu",
    ]);
    let run = bench.arg("--json").assert().code(0).stderr("");
    let stdout = &run.get_output().stdout;
    let json: Value = serde_json::from_slice(stdout).expect("JSON");
    assert!(json["stages"]["preprocess"]["warm_median_ms"].as_f64() > Some(0.0));
    assert_eq!(json["size"], serde_json::json!([96, 96, 96]));
    fs::write(&a, stdout).expect("file");
    fs::write(&garbage, "{}").expect("file");
    let compare = |b| hilum().args(["bench", "compare"]).arg(&a).arg(b).assert();
    compare(&a)
        .code(0)
        .stderr("")
        .stdout(contains("preprocess").and(contains("1.00")));
    compare(&none)
        .code(3)
        .stdout("")
        .stderr(contains("none.json"));
    compare(&garbage)
        .code(2)
        .stdout("")
        .stderr(contains("is no output of `hilum bench --json`"));
}

/// `hilum bench --network`, once and on a small patch.
fn bench_network(name: &str, size: &str, options: &[&str]) -> assert_cmd::Command {
    let mut command = hilum();
    command.args(["bench", "--network", name, "--size", size, "--repeat", "1"]);
    command.args(options);
    command
}

fn network_json(name: &str, size: &str, options: &[&str]) -> Value {
    let run = bench_network(name, size, options)
        .args(["--device", "cpu", "--json"])
        .assert();
    let run = run.code(0).stderr("");
    serde_json::from_slice(&run.get_output().stdout).expect("JSON")
}

fn assert_positive(json: &Value, keys: &[&str]) {
    for key in keys {
        assert!(json[key].as_f64() > Some(0.0), "{key}: {json}");
    }
}

#[test]
fn a_network_is_timed_layer_by_layer_beside_the_peaks_of_the_same_run() {
    for (name, size, layers, gflop) in [("light", 16, 18, 0.4), ("full", 16, 23, 1.8)] {
        let json = network_json(name, &size.to_string(), &[]);
        assert_eq!(json["network"]["name"], name);
        assert_eq!(json["network"]["size"], json!([size, size, size]));
        assert_positive(
            &json["network"],
            &["median_ms", "gflop_per_s", "share_of_peak"],
        );
        let found = json["network"]["gflop"].as_f64().expect("number");
        assert!((found - gflop).abs() < 0.05 + 0.05 * gflop, "{found}");
        assert_positive(&json["peak"], &["fma_gflop_per_s", "copy_gb_per_s"]);
        let list = json["layers"].as_array().expect("list");
        assert_eq!(list.len(), layers);
        assert_eq!(
            [&list[0]["name"], &list[layers - 1]["name"]],
            ["encoder.0.0", "head"]
        );
        for layer in list {
            let figures = [
                "ms",
                "gflop_per_s",
                "share_of_peak",
                "gb_per_s",
                "share_of_copy",
            ];
            assert_positive(layer, &figures);
        }
        assert_positive(&json, &["threads"]);
        for key in ["device", "instructions"] {
            assert!(
                json[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key}"
            );
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_network_is_timed_with_its_memory_and_processor_time() {
    let json = network_json("light", "32", &[]);
    assert_positive(&json, &["peak_memory_mib"]);
    assert_positive(&json["network"], &["median_cpu_ms"]);
}

#[test]
fn a_model_is_timed_on_the_instructions_that_were_asked_for() {
    let json = network_json("lung-nodule-lite", "16", &["--instructions", "portable"]);
    assert_eq!(json["instructions"], "portable");
    assert_eq!(json["layers"][0]["channels_out"], 16);
}

#[test]
fn the_table_of_layers_names_the_peaks_and_the_sum() {
    let table = contains("GFLOP/s of multiply-adds").and(contains("GB/s copied"));
    let lines = contains("decoder.2.0")
        .and(contains("32 → 16"))
        .and(contains("all, 0.4 GFLOP"));
    let mut command = bench_network("light", "16", &["--device", "cpu"]);
    command.assert().code(0).stderr("").stdout(table.and(lines));
}

#[test]
fn a_network_is_timed_on_a_gpu_by_the_same_layers() {
    let mut command = bench_network("light", "16", &["--device", "gpu", "--json"]);
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env_remove(name);
    }
    let run = command.output().expect("runs");
    let required = std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1");
    if !required && String::from_utf8_lossy(&run.stderr).contains("[gpu-not-found]") {
        return println!("SKIPPED, NO GPU");
    }
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let json: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(json["instructions"], "WGSL, f32");
    assert_eq!(json["layers"].as_array().map(Vec::len), Some(18));
    assert_positive(&json["network"], &["median_ms", "gflop_per_s"]);
    assert_positive(&json["peak"], &["fma_gflop_per_s", "copy_gb_per_s"]);
    assert_positive(&json["layers"][3], &["ms", "share_of_peak"]);
}

#[test]
fn what_cannot_be_timed_is_refused_with_a_code() {
    for (name, size, options, code, said) in [
        ("light", "20", ["--device", "cpu"], 2, "[patch-size]"),
        (
            "no-such-model",
            "16",
            ["--device", "cpu"],
            2,
            "[model-unknown]",
        ),
        ("light", "0", ["--device", "cpu"], 2, "--size"),
        ("light", "16", ["--slices", "9"], 2, "cannot be used with"),
    ] {
        let mut command = bench_network(name, size, &options);
        command
            .assert()
            .code(code)
            .stdout("")
            .stderr(contains(said));
    }
    let mut without = hilum();
    without
        .args(["bench", "--size", "16"])
        .assert()
        .code(2)
        .stderr(contains("--network"));
}
