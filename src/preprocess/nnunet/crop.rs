//! The box of the voxels that are not zero in every channel, and the way back into the whole volume.

use crate::preprocess::label::{self, Connectivity};
use rayon::prelude::*;
use std::ops::Range;

/// A box of a volume: first voxel and end along z, y and x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// Size of the whole volume, `[z, y, x]`.
    whole: [usize; 3],
    ranges: [Range<usize>; 3],
}

/// Voxels from `.0` to before `.1` along z, y, x.
type Bounds = ([usize; 3], [usize; 3]);

const NOTHING: Bounds = ([usize::MAX; 3], [0; 3]);

impl Crop {
    /// The smallest box that holds every voxel that any channel has not zero; everything, where all are zero.
    ///
    /// # Panics
    /// Where a channel's voxels are not as many as `size` says.
    pub fn to_nonzero(channels: &[&[f32]], size: [usize; 3]) -> Self {
        let voxels: usize = size.iter().product();
        assert!(channels.iter().all(|channel| channel.len() == voxels));
        let lines = (0..size[0] * size[1]).into_par_iter();
        let bounds = lines.filter_map(|line| {
            let [z, y] = [line / size[1], line % size[1]];
            let columns = nonzero_columns(channels, line * size[2], size[2])?;
            Some(([z, y, columns.start], [z + 1, y + 1, columns.end]))
        });
        let (first, end) = bounds.reduce(|| NOTHING, union);
        let ranges = match end {
            [0, ..] => size.map(|n| 0..n),
            _ => std::array::from_fn(|axis| first[axis]..end[axis]),
        };
        Self {
            whole: size,
            ranges,
        }
    }

    /// Size of the box, `[z, y, x]`.
    pub fn size(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.ranges[axis].len())
    }

    /// Size of the whole volume, `[z, y, x]`.
    pub fn whole(&self) -> [usize; 3] {
        self.whole
    }

    /// First voxel of the box, `[z, y, x]`.
    pub fn origin(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.ranges[axis].start)
    }

    /// The voxels of the box.
    ///
    /// # Panics
    /// Where the voxels are not those of the whole volume.
    pub fn cut<T: Copy>(&self, voxels: Vec<T>) -> Vec<T> {
        assert_eq!(voxels.len(), self.whole.iter().product::<usize>());
        if self.size() == self.whole {
            return voxels;
        }
        let mut cut = Vec::with_capacity(self.size().iter().product());
        for line in 0..self.ranges[0].len() * self.ranges[1].len() {
            cut.extend_from_slice(&voxels[self.line(line)]);
        }
        cut
    }

    /// The whole volume, with `voxels` in the box and `outside` around it.
    ///
    /// # Panics
    /// Where the voxels are not as many as the box has.
    pub fn paste<T: Copy>(&self, voxels: Vec<T>, outside: T) -> Vec<T> {
        assert_eq!(voxels.len(), self.size().iter().product::<usize>());
        if self.size() == self.whole {
            return voxels;
        }
        let mut whole = vec![outside; self.whole.iter().product()];
        for (line, values) in voxels.chunks(self.size()[2]).enumerate() {
            whole[self.line(line)].copy_from_slice(values);
        }
        whole
    }

    /// Where a line of the box lies in the whole volume.
    fn line(&self, line: usize) -> Range<usize> {
        let [slices, rows, columns] = &self.ranges;
        let [z, y] = [
            slices.start + line / rows.len(),
            rows.start + line % rows.len(),
        ];
        let first = (z * self.whole[1] + y) * self.whole[2] + columns.start;
        first..first + columns.len()
    }
}

fn union(a: Bounds, b: Bounds) -> Bounds {
    let axes = [0, 1, 2];
    (
        axes.map(|axis| a.0[axis].min(b.0[axis])),
        axes.map(|axis| a.1[axis].max(b.1[axis])),
    )
}

/// Of the line of `columns` voxels from voxel `first` on.
fn nonzero_columns(channels: &[&[f32]], first: usize, columns: usize) -> Option<Range<usize>> {
    let is_nonzero = |x: &usize| {
        channels
            .iter()
            .any(|channel| is_nonzero(channel[first + x]))
    };
    let start = (0..columns).find(is_nonzero)?;
    let last = (start..columns).rfind(is_nonzero)?;
    Some(start..last + 1)
}

/// Not a number is not zero, as in NumPy.
fn is_nonzero(value: f32) -> bool {
    value.is_nan() || value.abs() > 0.0
}

/// Voxels that any channel has not zero, and the holes in them: zeros that no path over faces connects to the border.
///
/// # Panics
/// Where a channel's voxels are not as many as `size` says.
pub fn filled_mask(channels: &[&[f32]], size: [usize; 3]) -> Vec<bool> {
    let voxels: usize = size.iter().product();
    assert!(channels.iter().all(|channel| channel.len() == voxels));
    let background = |i: usize| u8::from(!channels.iter().any(|channel| is_nonzero(channel[i])));
    let background: Vec<u8> = (0..voxels).into_par_iter().map(background).collect();
    let labels = label::reference(&background, size, Connectivity::Faces);
    let mut touches_border = vec![false; voxels];
    for i in (0..voxels).filter(|&i| labels[i] > 0 && is_at_border(i, size)) {
        touches_border[labels[i] as usize - 1] = true;
    }
    let inside = |label: u32| label == 0 || !touches_border[label as usize - 1];
    labels.into_par_iter().map(inside).collect()
}

fn is_at_border(voxel: usize, [nz, ny, nx]: [usize; 3]) -> bool {
    let [z, y, x] = [voxel / (ny * nx), voxel / nx % ny, voxel % nx];
    [(z, nz), (y, ny), (x, nx)]
        .into_iter()
        .any(|(i, n)| i == 0 || i == n - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_box_of_two_channels_holds_both() {
        let (mut a, mut b) = (vec![0.0; 60], vec![0.0; 60]);
        a[5 + 2] = -1.0; // z 0, y 1, x 2
        b[20 + 15 + 3] = 1e-30; // z 1, y 3, x 3
        let crop = Crop::to_nonzero(&[&a, &b], [3, 4, 5]);
        assert_eq!((crop.origin(), crop.size()), ([0, 1, 2], [2, 3, 2]));
    }

    #[test]
    fn a_volume_of_zeros_is_kept_whole() {
        let crop = Crop::to_nonzero(&[&[0.0, -0.0, 0.0, 0.0]], [1, 2, 2]);
        assert_eq!((crop.origin(), crop.size()), ([0; 3], [1, 2, 2]));
    }

    proptest! {
        #[test]
        fn what_is_cut_and_pasted_back_is_the_volume(
            size in [1_usize..6, 1_usize..6, 1_usize..6],
            marks in prop::collection::vec((0_usize..216, 1_u8..9), 0..5),
        ) {
            let mut volume = vec![0.0; size.iter().product()];
            for (i, value) in marks {
                let i = i % volume.len();
                volume[i] = f32::from(value);
            }
            let crop = Crop::to_nonzero(&[&volume], size);
            let cut = crop.cut(volume.clone());
            prop_assert_eq!(cut.len(), crop.size().iter().product::<usize>());
            let again = Crop::to_nonzero(&[&cut], crop.size());
            prop_assert_eq!(again.size(), crop.size());
            prop_assert_eq!(crop.paste(cut, 0.0), volume);
        }
    }

    #[test]
    fn a_hole_is_filled_and_a_bay_is_not() {
        let ring = |gap: f32| {
            let mut volume = vec![0.0; 3 * 5 * 5];
            for z in 0..3 {
                for (y, x) in (1..4).flat_map(|y| (1..4).map(move |x| (y, x))) {
                    volume[z * 25 + y * 5 + x] = 1.0;
                }
            }
            volume[25 + 12] = 0.0;
            volume[25 + 13] = gap;
            volume
        };
        let closed = filled_mask(&[&ring(1.0)], [3, 5, 5]);
        assert_eq!(closed.iter().filter(|&&inside| inside).count(), 27);
        let open = filled_mask(&[&ring(0.0)], [3, 5, 5]);
        assert_eq!(open.iter().filter(|&&inside| inside).count(), 25);
        assert!(!open[25 + 12]);
    }
}
