//! `hilum model inspect`: everything that a model's manifest says, and what its network costs.

use super::{ModelsDir, place};
use crate::Error;
use crate::engine::{LayerShape, Layers};
use crate::model::{self, ClassifierSpec, Definition, Manifest};
use serde::Serialize;
use std::process::ExitCode;

/// Prints everything that model.toml says of a model, and the size of its network.
#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// A name, or a folder that holds model.toml.
    #[arg(value_name = "MODEL")]
    name: String,
    #[command(flatten)]
    models: ModelsDir,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Inspected {
    /// `built-in`, or the folder.
    source: String,
    /// Size of the patch that the network sees at once, mm along the axes of the network.
    patch_mm: [f64; 3],
    /// Weights of all networks of the ensemble.
    parameters: u64,
    weights_bytes: u64,
    /// Multiplications and additions of one network for one patch, in billions.
    gflop_per_patch: f64,
    /// The same of all networks and mirrored copies of the classifier for one candidate; none without a classifier.
    gflop_per_candidate: Option<f64>,
    /// The activations of all layers of one patch together: no run needs more, since layers share memory.
    activations_bytes_at_most: u64,
    manifest: Manifest,
}

#[expect(
    clippy::print_stdout,
    reason = "the description is this command's result"
)]
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let found = inspect(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let [z, y, x] = found.patch_mm;
    print!("{}", toml::to_string(&found.manifest)?);
    println!();
    println!("# source: {}", found.source);
    println!("# patch: {z:.1} x {y:.1} x {x:.1} mm");
    println!(
        "# parameters: {} ({} bytes)",
        found.parameters, found.weights_bytes
    );
    println!("# a patch: {:.1} GFLOP a network", found.gflop_per_patch);
    if let Some(gflop) = found.gflop_per_candidate {
        println!("# a candidate: {gflop:.1} GFLOP");
    }
    println!(
        "# activations: at most {} bytes",
        found.activations_bytes_at_most
    );
    Ok(ExitCode::SUCCESS)
}

fn inspect(args: &InspectArgs) -> Result<Inspected, Error> {
    let source = args.models.find(&args.name)?;
    let Definition {
        manifest,
        network,
        classifier,
    } = model::definition(&source)?;
    let input = &manifest.input;
    let shapes = network.shapes(input.patch)?;
    let candidate = manifest.classifier.as_ref().zip(classifier);
    let candidate = candidate.map(|(spec, encoder)| of_candidate(spec, &encoder));
    let activations = shapes.iter().map(values).sum::<usize>() * size_of::<f32>();
    Ok(Inspected {
        source: place(&source),
        patch_mm: [0, 1, 2].map(|axis| millimetres(input.patch[axis], input.spacing_mm[axis])),
        parameters: source.parameters()?,
        weights_bytes: source.weights_bytes()?,
        gflop_per_patch: gflop(&shapes),
        gflop_per_candidate: candidate.transpose()?,
        activations_bytes_at_most: activations as u64,
        manifest,
    })
}

fn gflop(shapes: &[LayerShape]) -> f64 {
    shapes.iter().map(|shape| shape.flop).sum::<f64>() / 1e9
}

fn of_candidate(spec: &ClassifierSpec, encoder: &Layers) -> Result<f64, Error> {
    let copies = (0..spec.mirror_axes.len()).fold(1.0, |copies, _| 2.0 * copies);
    let networks = (0..spec.folds).fold(0.0, |count, _| count + 1.0);
    Ok(copies * networks * gflop(&encoder.shapes(spec.patch)?))
}

fn values(shape: &LayerShape) -> usize {
    shape.channels_out * shape.size_out.iter().product::<usize>()
}

#[expect(clippy::cast_precision_loss, reason = "a patch has few voxels")]
fn millimetres(voxels: usize, spacing_mm: f64) -> f64 {
    voxels as f64 * spacing_mm
}
