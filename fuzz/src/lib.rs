//! The bodies of `tests/mutations` for libFuzzer.

#![allow(dead_code, reason = "the mutation tests use the rest of the bodies")]

#[path = "../../tests/mutations/bodies.rs"]
mod bodies;
#[path = "../../tests/mutations/imports.rs"]
mod imports;
#[path = "../../tests/mutations/pet.rs"]
mod pet;
#[path = "../../tests/mutations/slices.rs"]
mod slices;
#[path = "../../tests/mutations/truths.rs"]
mod truths;

use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Files of the input that is running; in memory, where the system has a folder for it.
static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.expect("a temporary folder can be made")
});

/// Runs the body of a target; a panic is a defect.
///
/// # Panics
/// For a defect, and for a name that is no target's.
pub fn run(target: &str, data: &[u8]) {
    let body = match target {
        "dicom-file" => bodies::dicom_file,
        "series-grouping" => bodies::series_grouping,
        "pixel-decode" => bodies::pixel_decode,
        "volume-file" => bodies::volume_file,
        "association" => bodies::association,
        "suv" => pet::suv,
        "deidentify" => bodies::deidentify,
        "geometry" => bodies::geometry,
        "config" => bodies::config,
        "manifest" => bodies::manifest,
        "model" => bodies::model,
        "checkpoint" => imports::checkpoint,
        "nnunet-folder" => imports::nnunet_folder,
        "findings" => bodies::findings,
        "truth" => truths::truth,
        "phantom" => bodies::phantom,
        other => panic!("no target {other}"),
    };
    body(SCRATCH.path(), data);
}
