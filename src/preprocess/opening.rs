//! Air parted where narrow ways join it, such as nose and windpipe: in goes a mask; out come components that hold no way
//! narrower than a ball.

use super::distance::{self, Search};
use super::label::{self, Connectivity::Faces};
use rayon::prelude::*;

/// Steps of growth beyond the ball's radius, for corners that lie further by faces than straight.
const CORNER_STEPS: u16 = 2;

/// Components of what a ball of `radius_voxels` fits in, 1, 2, 3 …, each grown back over the mask that it came from; 0 elsewhere.
///
/// Where two grow towards each other, each keeps what it reaches first.
pub(super) fn reference(mask: &[u8], size: [usize; 3], radius_voxels: u16) -> Vec<u32> {
    let outside = Search {
        seeds: 0..=0,
        size,
        radius_voxels,
    };
    let distance = distance::reference(mask, &outside);
    let is_core = |d: &u16| u8::from(*d > radius_voxels.pow(2));
    let core: Vec<u8> = distance.par_iter().map(is_core).collect();
    let mut labels = label::reference(&core, size, Faces);
    label::number(&mut labels);
    for _ in 0..radius_voxels + CORNER_STEPS {
        labels = grown(&labels, mask, size);
    }
    labels
}

/// One step over the faces of voxels; of several labels the lowest.
fn grown(labels: &[u32], mask: &[u8], [nz, ny, nx]: [usize; 3]) -> Vec<u32> {
    let around = |i: usize| {
        let (x, y, z) = (i % nx, i / nx % ny, i / (nx * ny));
        let neighbours = [
            (x > 0).then(|| i - 1),
            (x + 1 < nx).then(|| i + 1),
            (y > 0).then(|| i - nx),
            (y + 1 < ny).then(|| i + nx),
            (z > 0).then(|| i - nx * ny),
            (z + 1 < nz).then(|| i + nx * ny),
        ];
        let labels = neighbours.into_iter().flatten().map(|n| labels[n]);
        labels.filter(|label| *label > 0).min().unwrap_or(0)
    };
    let voxels = labels.par_iter().enumerate();
    voxels
        .map(|(i, &label)| match (label, mask[i]) {
            (0, 1) => around(i),
            _ => label,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two boxes of 7 voxels, joined by a way of `width` voxels.
    fn joined(width: usize) -> (Vec<u8>, [usize; 3]) {
        let size = [7, 7, 20];
        let mask = (0..7 * 7 * 20).map(|i| {
            let (x, y, z) = (i % 20, i / 20 % 7, i / 140);
            let is_way = y < width && z < width;
            u8::from(!(7..13).contains(&x) || is_way)
        });
        (mask.collect(), size)
    }

    #[test]
    fn a_narrow_way_parts_what_it_joins_and_a_wide_one_does_not() {
        for (width, parts) in [(2, 2), (7, 1)] {
            let (mask, size) = joined(width);
            let all = label::number(&mut label::reference(&mask, size, Faces));
            assert_eq!(all, 1);
            let opened = reference(&mask, size, 2);
            assert_eq!(opened.iter().max(), Some(&parts), "{width}");
        }
    }

    #[test]
    fn parts_grow_back_to_what_they_were() {
        let (mask, size) = joined(2);
        let labels = reference(&mask, size, 2);
        for (i, label) in labels.iter().enumerate() {
            let x = i % 20;
            let is_box = !(7..13).contains(&x);
            assert!(!is_box || *label > 0, "voxel {i} was lost");
            assert!(mask[i] == 1 || *label == 0, "voxel {i} was no air");
        }
    }
}
