//! Brings input rows into a task's scratch: normalised, activated, padded with zeros, ready for any stride.
//!
//! A scratch row holds `stride` runs of voxels, those of equal position modulo the stride next to each other, so that
//! the voxels that neighbouring outputs need at one tap are neighbours too.

use super::lanes::{LANES, Lanes};
use super::norm::Norm;
use super::simd::{Simd, prefetch};

/// Voxels by which input is brought to the cache before it is read: the hardware does so within a page alone, and a
/// page holds a row or two.
const AHEAD: usize = 24;

/// One block of an input's channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) values: Values<'a>,
    /// `None`: take the values as they are.
    pub(super) norm: Option<&'a Norm>,
}

/// Voxels of one block, x fastest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    /// Sixteen channels a voxel.
    Blocked(&'a [Lanes]),
    /// One channel a voxel, as the network's input is.
    Plain(&'a [f32]),
}

/// How a row of voxels lies in scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowLayout {
    /// Voxels of the input row.
    pub(super) width: usize,
    /// Zeros before it.
    pub(super) padding: usize,
    /// Stride along x.
    pub(super) stride: usize,
    /// Voxels of one run.
    pub(super) run: usize,
    /// Floats of one voxel: 16, or 1 of a plain input.
    pub(super) pitch: usize,
}

impl RowLayout {
    /// For `kernel` taps and `outputs` voxels of a row.
    pub(super) fn new(
        width: usize,
        [kernel, stride]: [usize; 2],
        outputs: usize,
        pitch: usize,
    ) -> Self {
        Self {
            width,
            padding: kernel / 2,
            stride,
            run: ((outputs - 1) * stride + kernel).div_ceil(stride),
            pitch,
        }
    }

    /// Floats of a row, whole cache lines.
    pub(super) fn floats(&self) -> usize {
        (self.stride * self.run * self.pitch).next_multiple_of(LANES)
    }

    /// Float at which tap `tap` of the first output lies.
    pub(super) fn tap(&self, tap: usize) -> usize {
        ((tap % self.stride) * self.run + tap / self.stride) * self.pitch
    }

    /// Positions in run `phase` that hold voxels of the input, and the first such voxel.
    fn filled(&self, phase: usize) -> (std::ops::Range<usize>, usize) {
        let first = self.padding.saturating_sub(phase).div_ceil(self.stride);
        let voxel = first * self.stride + phase - self.padding;
        let count = self.width.saturating_sub(voxel).div_ceil(self.stride);
        (first.min(self.run)..(first + count).min(self.run), voxel)
    }
}

/// Fills a scratch row from voxels `start..start + width` of a block; `None`: a row of padding.
#[inline(always)]
pub(super) fn row<S: Simd>(
    simd: S,
    layout: &RowLayout,
    slope: f32,
    from: (&Block<'_>, Option<usize>),
    to: &mut [Lanes],
) {
    let (block, Some(start)) = from else {
        return to.fill(Lanes::ZERO);
    };
    match block.values {
        Values::Plain(values) => plain(layout, &values[start..start + layout.width], to),
        Values::Blocked(values) => {
            let values = &values[start..start + layout.width];
            for phase in 0..layout.stride {
                let to = &mut to[phase * layout.run..(phase + 1) * layout.run];
                let (filled, first) = layout.filled(phase);
                to[..filled.start].fill(Lanes::ZERO);
                to[filled.end..].fill(Lanes::ZERO);
                let from = values.get(first..).unwrap_or_default();
                let to = &mut to[filled];
                // Stepping by one would be slower than not stepping.
                match layout.stride {
                    1 => activated(simd, slope, block.norm, from.iter(), to),
                    step => activated(simd, slope, block.norm, from.iter().step_by(step), to),
                }
            }
        }
    }
}

#[inline(always)]
fn activated<'a, S: Simd>(
    simd: S,
    slope: f32,
    norm: Option<&Norm>,
    from: impl Iterator<Item = &'a Lanes>,
    to: &mut [Lanes],
) {
    let Some(norm) = norm else {
        for (to, from) in to.iter_mut().zip(from) {
            prefetch(std::ptr::from_ref(from).wrapping_add(AHEAD));
            *to = *from;
        }
        return;
    };
    let slope = simd.splat(slope);
    let [mean, scale, shift] = [&norm.mean, &norm.scale, &norm.shift].map(|l| simd.load(l));
    for (to, from) in to.iter_mut().zip(from) {
        prefetch(std::ptr::from_ref(from).wrapping_add(AHEAD));
        let centred = simd.sub(simd.load(from), mean);
        let value = simd.mul_add(centred, scale, shift);
        simd.store(to, simd.max(value, simd.mul(value, slope)));
    }
}

fn plain(layout: &RowLayout, values: &[f32], to: &mut [Lanes]) {
    to.fill(Lanes::ZERO);
    for phase in 0..layout.stride {
        let (filled, first) = layout.filled(phase);
        let from = values.get(first..).unwrap_or_default();
        let positions = filled.map(|position| phase * layout.run + position);
        for (position, value) in positions.zip(from.iter().step_by(layout.stride)) {
            to[position / LANES].0[position % LANES] = *value;
        }
    }
}
