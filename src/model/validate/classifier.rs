//! Ranges and cross-checks of `[classifier]`.

use super::network::{Stages, check_weights};
use super::{check, check_axes};
use crate::code::Kind;
use crate::model::manifest::{Bands, Calibration, ClassifierSpec, ModelGrid, Review};
use crate::model::{Error, Manifest};

/// A patch of more voxels shows more than a lesion and what lies about it.
const MAX_PATCH_VOXELS: usize = 128 * 128 * 128;

/// Checks the classifier, where there is one, and that the model is of the kind that can have one.
///
/// # Errors
/// [`Error::OutOfRange`] naming the key.
pub(super) fn validate(manifest: &Manifest) -> Result<(), Error> {
    let Some(spec) = &manifest.classifier else {
        return Ok(());
    };
    let on_patient_grid = matches!(manifest.input.grid, ModelGrid::Patient { .. });
    let kind = manifest.label().kind;
    check(
        "classifier",
        format!("of {kind:?}"),
        on_patient_grid && matches!(kind, Kind::LungNodule | Kind::LymphNode),
        "a label of kind \"lung-nodule\" or \"lymph-node\" on a grid of kind \"patient\"",
    )?;
    let folds = spec.folds;
    check(
        "classifier.folds",
        folds,
        (1..=10).contains(&folds),
        "1 to 10",
    )?;
    stages(spec)?;
    patch(spec)?;
    check_axes("classifier.mirror_axes", &spec.mirror_axes)?;
    let types = &spec.types;
    check(
        "classifier.types",
        format!("{types:?}"),
        (0..types.len()).all(|i| !types[..i].contains(&types[i])),
        "each type at most once",
    )?;
    limits(spec)
}

fn stages(spec: &ClassifierSpec) -> Result<(), Error> {
    Stages {
        keys: [
            "classifier.channels",
            "classifier.kernels",
            "classifier.strides",
            "classifier.convs",
        ],
        channels: &spec.channels,
        kernels: &spec.kernels,
        strides: &spec.strides,
        convs: &spec.convs,
    }
    .validate()?;
    check_weights("classifier.channels", &spec.encoder(1))
}

fn patch(spec: &ClassifierSpec) -> Result<(), Error> {
    let strides = spec.total_stride();
    let mut axes = spec.patch.iter().zip(strides);
    let voxels = spec.patch.iter().try_fold(1usize, |n, m| n.checked_mul(*m));
    check(
        "classifier.patch",
        format!("{:?}", spec.patch),
        axes.all(|(n, stride)| *n > 0 && n.is_multiple_of(stride))
            && voxels.is_some_and(|n| n <= MAX_PATCH_VOXELS),
        "multiples of the classifier's total stride, at most 128^3 voxels",
    )
}

fn limits(spec: &ClassifierSpec) -> Result<(), Error> {
    let Calibration { scale, offset } = spec.calibration;
    check(
        "classifier.calibration.scale",
        scale,
        scale.is_finite() && scale > 0.0,
        "above 0",
    )?;
    check(
        "classifier.calibration.offset",
        offset,
        offset.is_finite(),
        "a finite number",
    )?;
    let Bands { high, intermediate } = spec.bands;
    check(
        "classifier.bands",
        format!("{high} and {intermediate}"),
        0.0 <= intermediate && intermediate <= high && high <= 1.0,
        "0 to 1, high not below intermediate",
    )?;
    let Review {
        lower,
        upper,
        max_spread,
        max_novelty,
        max_input_novelty,
    } = spec.review;
    check(
        "classifier.review.upper",
        format!("{upper}, lower {lower}"),
        0.0 <= lower && lower <= upper && upper <= 1.0,
        "0 to 1, not below lower",
    )?;
    for (key, limit) in [
        ("classifier.review.max_spread", max_spread),
        ("classifier.review.max_novelty", max_novelty),
        ("classifier.review.max_input_novelty", max_input_novelty),
    ] {
        check(key, limit, limit.is_finite() && limit >= 0.0, "0 or more")?;
    }
    Ok(())
}
