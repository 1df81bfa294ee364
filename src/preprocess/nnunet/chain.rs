//! The ordered steps before and after the network.

use super::logits::GpuExport;
use super::{
    Axes, Crop, Decision, Export, Exported, Orientation, Resize, Scheme, Spacings, filled_mask,
};
use super::{SourceRows, gather};
use crate::gpu::Compute;
use crate::preprocess::Error;

/// What a network wants of a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How the source is turned before anything else.
    pub orientation: Orientation,
    /// From the turned source's axes to the network's.
    pub axes: Axes,
    /// Spacing of the source along its own z, y, x, mm.
    pub source_spacing_mm: [f64; 3],
    /// Spacing of the network's grid along its z, y, x, mm.
    pub spacing_mm: [f64; 3],
    /// How each channel is normalised, and whether over what is not zero alone.
    pub schemes: Vec<(Scheme, bool)>,
}

/// Channels on a network's grid, and the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Normalised, `[channel, z, y, x]`.
    pub values: Vec<f32>,
    resize: Resize,
    back: Resize,
    crop: Crop,
    axes: Axes,
    orientation: Orientation,
}

/// Brings channels of a source grid of `size` voxels onto a network's grid, by splines on the GPU where there is one.
///
/// # Errors
/// [`Error::BadVolume`], [`Error::GridTooLarge`], [`Error::Gpu`].
///
/// # Panics
/// Where there are not as many channels as schemes, or they are not of that size.
pub fn prepare(
    compute: &Compute,
    channels: Vec<Vec<f32>>,
    size: [usize; 3],
    plan: &Plan,
) -> Result<Prepared, Error> {
    let (orientation, axes) = (plan.orientation, plan.axes);
    let turned = orientation.permute(size);
    assert_eq!(channels.len(), plan.schemes.len());
    let channels: Vec<Vec<f32>> = channels
        .into_iter()
        .map(|c| axes.forward(orientation.forward(c, size), turned))
        .collect();
    let all: Vec<&[f32]> = channels.iter().map(Vec::as_slice).collect();
    let crop = Crop::to_nonzero(&all, axes.permute(turned));
    let cut = channels.into_iter().map(|channel| crop.cut(channel));
    let cut: Vec<Vec<f32>> = cut.collect();
    let all: Vec<&[f32]> = cut.iter().map(Vec::as_slice).collect();
    let masked = plan.schemes.iter().any(|(_, masked)| *masked);
    let mask = masked.then(|| filled_mask(&all, crop.size()));
    let spacings = Spacings {
        from_mm: axes.permute(orientation.permute(plan.source_spacing_mm)),
        to_mm: plan.spacing_mm,
        force_separate: None,
    };
    let resize = Resize::to_spacing(crop.size(), &spacings)?;
    let back = Resize::to_size(resize.to(), crop.size(), &spacings.reversed())?;
    let mut values = Vec::with_capacity(cut.len() * resize.to().iter().product::<usize>());
    for (mut channel, (scheme, masked)) in cut.into_iter().zip(&plan.schemes) {
        scheme.apply(&mut channel, mask.as_deref().filter(|_| *masked));
        match compute {
            Compute::Cpu => values.extend(resize.cubic(&channel)),
            Compute::Gpu(gpu) => {
                for slab in gather::cubic(gpu, &resize, &channel)? {
                    values.extend(gpu.download(&slab.hu)?);
                }
            }
        }
    }
    Ok(Prepared {
        values,
        resize,
        back,
        crop,
        axes,
        orientation,
    })
}

impl Prepared {
    /// Voxels along z, y, x of the network's grid.
    pub fn size(&self) -> [usize; 3] {
        self.resize.to()
    }

    /// First voxel of what is not zero, along the network's axes on the source's grid.
    pub fn origin(&self) -> [usize; 3] {
        self.crop.origin()
    }

    /// Labels on the source grid, and probabilities of the classes of `wanted`, from logits `[class, z, y, x]`.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    ///
    /// # Panics
    /// Where the logits are not as many as the network's grid and the decision say.
    pub fn export(
        &self,
        compute: &Compute,
        logits: &[f32],
        decision: Decision,
        wanted: Vec<usize>,
    ) -> Result<Exported, Error> {
        let [slices, rows, columns] = self.size();
        let plane = rows * columns;
        assert_eq!(logits.len(), decision.classes() * slices * plane);
        let export = Export {
            resize: self.back,
            decision,
            probabilities: wanted,
        };
        let read = |which: &SourceRows, into: &mut [f32]| {
            let slice = &logits[(which.class * slices + which.z) * plane..][..plane];
            let rows = which.rows.start * columns..which.rows.end * columns;
            into.copy_from_slice(&slice[rows]);
        };
        let found = match compute {
            Compute::Cpu => export.run(read),
            Compute::Gpu(gpu) => GpuExport::new(gpu, &export)?.run(gpu, read)?,
        };
        let probabilities = found.probabilities.into_iter();
        Ok(Exported {
            labels: self.to_source(found.labels, 0),
            probabilities: probabilities
                .map(|probability| self.to_source(probability, 0.0))
                .collect(),
        })
    }

    /// From what was not cropped away to the whole source, as it lies.
    fn to_source<T: Copy + Send + Sync>(&self, voxels: Vec<T>, outside: T) -> Vec<T> {
        let whole = self.crop.whole();
        let turned = self.axes.backward(self.crop.paste(voxels, outside), whole);
        self.orientation
            .backward(turned, self.axes.inverse().permute(whole))
    }
}
