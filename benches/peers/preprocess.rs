//! Preprocesses the series of a folder, timed from within: `preprocess FOLDER REPEAT [OUTPUT]`.
//!
//! HU, resampling to 1 mm, normalising, from decoded slices in memory; normalised patch by patch, as a network takes them.
//! Prints the grid and the median time as JSON and writes the voxels to OUTPUT, so that a peer can do the same on the same
//! grid; `benches/peers/preprocess.py` runs it.

use hilum::dicom::{load, read_paths};
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::normalize::{self, Outside, Patch};
use hilum::preprocess::{Interpolation, Normalization, resample};
use hilum::volume::StoredVolume;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

const MAX_VOXELS: u64 = 1 << 30;

/// That of the network which comes with the program.
const PATCH: [usize; 3] = [96; 3];

const NORMALIZATION: Normalization = Normalization {
    lower_hu: -1000.0,
    upper_hu: 400.0,
    subtract_hu: -300.0,
    divide_hu: 700.0,
};

#[expect(
    clippy::print_stdout,
    reason = "the result is for the script that runs this"
)]
fn main() {
    // `cargo bench` adds its own flag.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, repeat, output @ ..] = &arguments[..] else {
        return;
    };
    let repeat: usize = repeat.parse().expect("REPEAT is a number");
    let stored = read(folder);
    let grid = stored.geometry.covering([1.0; 3]);
    let resampled = || {
        let mapping = Mapping::of_stack(&stored, &grid, Interpolation::Trilinear);
        resample::from_stored(&mapping, &stored)
    };
    let normalized = |hu: &[f32], origin, size| {
        let patch = Patch {
            origin,
            size,
            outside: Outside::Padding,
        };
        black_box(normalize::reference(hu, &grid, patch, &NORMALIZATION))
    };
    if let Some(output) = output.first() {
        let voxels = normalized(&resampled(), [0; 3], grid.size);
        std::fs::write(output, bytemuck::cast_slice(&voxels)).expect("OUTPUT is written");
    }
    let run = || {
        let hu = resampled();
        let then = Instant::now();
        for origin in origins(grid.size) {
            normalized(&hu, origin, PATCH);
        }
        then
    };
    let mut times_ms: Vec<[f64; 2]> = (0..repeat)
        .map(|_| {
            let start = Instant::now();
            let resampled = run();
            let ms = |time: Instant| time.duration_since(start).as_secs_f64() * 1e3;
            [ms(Instant::now()), ms(resampled)]
        })
        .collect();
    times_ms.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let [total_ms, resample_ms] = times_ms[repeat / 2];
    let (origin, size) = (grid.index_to_lps.translation, grid.size);
    println!(
        r#"{{"ms": {total_ms}, "resample_ms": {resample_ms}, "size": {size:?}, "origin_lps_mm": [{}, {}, {}]}}"#,
        origin.x, origin.y, origin.z
    );
}

/// First voxels of the patches that cover a grid without overlap.
fn origins(size: [usize; 3]) -> Vec<[i64; 3]> {
    let along = |axis: usize| (0..size[axis] as i64).step_by(PATCH[axis]);
    let rows = move |z| along(1).flat_map(move |y| along(2).map(move |x| [z, y, x]));
    along(0).flat_map(rows).collect()
}

fn read(folder: &str) -> StoredVolume {
    let inventory = read_paths(&[PathBuf::from(folder)], &|_| ());
    let studies = inventory.studies.first();
    let series = studies.and_then(|study| study.series.first());
    let series = series.expect("the folder holds one series");
    load(series, MAX_VOXELS, None).expect("every slice is decoded")
}
