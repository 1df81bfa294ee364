//! `hilum bench --tune`: the best tile of every layer of a network on a GPU, for later runs.

use super::BenchArgs;
use super::network::layers;
use crate::Error;
use crate::config::Config;
use crate::engine::gpu::{Trial, Tuned, tune};
use crate::gpu::Compute;
use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Figures of one `hilum bench --tune`; the format of its `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    device: String,
    driver: String,
    layers: Vec<Trial>,
    /// Where the table lies that later runs take; absent where nothing was better than the usual tiles.
    file: Option<PathBuf>,
}

/// Tries the tiles of the network called `name`, and keeps the best.
pub(super) fn measure(name: &str, args: &BenchArgs) -> anyhow::Result<Report> {
    let mut config = Config::default();
    args.device.apply(&mut config.device);
    let (layers, own_size) = layers(name, &config)?;
    let size = args.size.map_or(own_size, |size| [size.into(); 3]);
    layers.shapes(size).map_err(Error::from)?;
    let (compute, _) = Compute::select(&config.device).map_err(Error::from)?;
    let Compute::Gpu(gpu) = compute else {
        anyhow::bail!("--tune tries tiles of a GPU, and there is none: choose one by --device gpu");
    };
    let bar = ProgressBar::new(0);
    let progress = |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let mut tuned = Tuned::of(&gpu);
    let trials = tune(&gpu, &layers, size, args.repeat, (&mut tuned, &progress));
    bar.finish_and_clear();
    let file = match tuned.identity() {
        Some(_) => tuned
            .keep(&gpu)
            .context("the table of tiles could not be kept")?,
        None => None,
    };
    Ok(Report {
        device: gpu.info().name.clone(),
        driver: gpu.info().driver.clone(),
        layers: trials.map_err(Error::from)?,
        file,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.device, self.driver)?;
        writeln!(
            f,
            "{:>10} {:>10} {:>8} {:>6} {:>14} {:>10} {:>14} {:>10}",
            "kernel", "stride", "columns", "tried", "usual tile", "ms", "best tile", "ms"
        )?;
        let joined = |values: &[usize]| {
            let values: Vec<String> = values.iter().map(usize::to_string).collect();
            values.join("x")
        };
        for trial in &self.layers {
            writeln!(
                f,
                "{:>10} {:>10} {:>8} {:>6} {:>14} {:>10.3} {:>14} {:>10.3}",
                joined(&trial.kernel),
                joined(&trial.stride),
                trial.columns,
                trial.tried,
                joined(&trial.usual),
                trial.usual_ms,
                joined(&trial.best),
                trial.best_ms
            )?;
        }
        match &self.file {
            Some(file) => writeln!(f, "kept in {}", file.display()),
            None => writeln!(
                f,
                "no tile was better than the usual ones: nothing was kept"
            ),
        }
    }
}
