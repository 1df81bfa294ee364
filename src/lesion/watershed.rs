//! Splits what touches at its saddle points: in go values and which voxels count; out comes one basin a peak that stands out.
//!
//! Voxels are flooded from the highest down, equals in storage order, so the result is the same each time.

#![expect(
    clippy::cast_possible_truncation,
    reason = "voxel indices fit 32 bits: label maps hold them"
)]

/// When two peaks are two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Two peaks stay apart where the saddle between them is below this share of the lower peak; 0 gives the plain
    /// components …
    pub max_saddle_share: f32,
    /// … and by at least this much below it.
    pub min_depth: f32,
    /// A peak of fewer voxels above the saddle is noise and joins its neighbour.
    pub min_count: usize,
}

impl Split {
    /// Nothing that touches is split.
    pub const NEVER: Self = Self {
        max_saddle_share: 0.0,
        min_depth: 0.0,
        min_count: 0,
    };
}

/// What one peak drains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Basin {
    /// Largest value.
    pub peak: f32,
    /// Linear index of the first voxel that has it.
    pub peak_index: usize,
    /// Number of voxels.
    pub count: usize,
}

/// The basins of the voxels that are `inside`, the highest peak first, and for each voxel the number of its basin from 1;
/// 0 outside.
///
/// `values` and `inside` are `[z, y, x]` of `size`, with fewer than 2³² voxels; the 26 voxels around one are its neighbours.
/// Every voxel inside belongs to exactly one basin, and every basin is connected.
///
/// Source: Vincent and Soille, IEEE TPAMI 1991 (flooding).
pub fn watershed(
    values: &[f32],
    inside: &[bool],
    size: [usize; 3],
    split: Split,
) -> (Vec<u32>, Vec<Basin>) {
    debug_assert_eq!(values.len(), size.iter().product::<usize>());
    let mut order: Vec<u32> = (0..values.len() as u32)
        .filter(|i| inside[*i as usize])
        .collect();
    order.sort_unstable_by(|a, b| {
        let (of_a, of_b) = (values[*a as usize], values[*b as usize]);
        of_b.total_cmp(&of_a).then(a.cmp(b))
    });
    let mut flood = Flood {
        labels: vec![0; values.len()],
        basins: Vec::new(),
        parent: Vec::new(),
        split,
    };
    for &index in &order {
        flood.add(values, size, index as usize);
    }
    flood.finish()
}

/// Linear indices of the 26 voxels around one, as far as they lie in the grid.
pub(super) fn neighbours(size: [usize; 3], index: usize) -> impl Iterator<Item = usize> {
    let [nz, ny, nx] = size;
    let [z, y, x] = [index / (ny * nx), index / nx % ny, index % nx];
    let around = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    around(z, nz).flat_map(move |z| {
        around(y, ny)
            .flat_map(move |y| around(x, nx).map(move |x| (z * ny + y) * nx + x))
            .filter(move |neighbour| *neighbour != index)
    })
}

struct Flood {
    /// Number of each voxel's basin when it was flooded, from 1.
    labels: Vec<u32>,
    /// In the order of their peaks, so the highest first.
    basins: Vec<Basin>,
    /// The basin that a basin joined, always an earlier one; itself while it stands alone.
    parent: Vec<u32>,
    split: Split,
}

impl Flood {
    fn add(&mut self, values: &[f32], size: [usize; 3], index: usize) {
        let mut touched: Vec<u32> = Vec::new();
        let mut home: Option<(f32, u32)> = None;
        for neighbour in neighbours(size, index) {
            let Some(basin) = self.labels[neighbour].checked_sub(1) else {
                continue;
            };
            let root = self.root(basin);
            if !touched.contains(&root) {
                touched.push(root);
            }
            // Of equals the first, as neighbours come in storage order.
            if home.is_none_or(|(highest, _)| values[neighbour] > highest) {
                home = Some((values[neighbour], root));
            }
        }
        let basin = match home {
            None => self.start(values[index], index),
            Some((_, home)) => self.joined(&mut touched, values[index]).unwrap_or(home),
        };
        self.labels[index] = basin + 1;
        self.basins[basin as usize].count += 1;
    }

    fn start(&mut self, peak: f32, peak_index: usize) -> u32 {
        let basin = self.basins.len() as u32;
        self.parent.push(basin);
        self.basins.push(Basin {
            peak,
            peak_index,
            count: 0,
        });
        basin
    }

    /// Joins those of the basins that meet at a saddle which do not stand out to the highest of them, which is given where
    /// there are any: the saddle then is its own, or the parts would not be connected.
    fn joined(&mut self, touched: &mut [u32], saddle: f32) -> Option<u32> {
        touched.sort_unstable();
        let (highest, others) = touched.split_first()?;
        let mut any = None;
        for &other in others {
            let Basin { peak, count, .. } = self.basins[other as usize];
            let Split {
                max_saddle_share,
                min_depth,
                ..
            } = self.split;
            let shallow = saddle >= max_saddle_share * peak || saddle > peak - min_depth;
            if shallow || count < self.split.min_count {
                self.parent[other as usize] = *highest;
                self.basins[*highest as usize].count += count;
                any = Some(*highest);
            }
        }
        any
    }

    fn root(&mut self, mut basin: u32) -> u32 {
        while self.parent[basin as usize] != basin {
            let above = self.parent[basin as usize];
            self.parent[basin as usize] = self.parent[above as usize];
            basin = self.parent[basin as usize];
        }
        basin
    }

    fn finish(mut self) -> (Vec<u32>, Vec<Basin>) {
        let mut number = vec![0; self.basins.len()];
        let mut kept = Vec::new();
        for basin in 0..self.basins.len() as u32 {
            let root = self.root(basin);
            if root == basin {
                kept.push(self.basins[basin as usize]);
                number[basin as usize] = kept.len() as u32;
            } else {
                number[basin as usize] = number[root as usize];
            }
        }
        for label in self.labels.iter_mut().filter(|label| **label > 0) {
            *label = number[*label as usize - 1];
        }
        (self.labels, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SPLIT: Split = Split {
        max_saddle_share: 0.6,
        min_depth: 0.0,
        min_count: 0,
    };

    fn of_row(values: &[f32], split: Split) -> (Vec<u32>, Vec<f32>) {
        let inside: Vec<bool> = values.iter().map(|v| *v > 0.0).collect();
        let (labels, basins) = watershed(values, &inside, [1, 1, values.len()], split);
        (labels, basins.iter().map(|basin| basin.peak).collect())
    }

    #[test]
    fn peaks_are_split_only_where_the_saddle_is_low_for_the_lower_one() {
        // The saddle 3 is 0.75 of the lower peak 4, and 0.5 of 6.
        let (labels, peaks) = of_row(&[2.0, 4.0, 3.0, 9.0, 1.0], SPLIT);
        assert_eq!((labels, peaks), (vec![1; 5], vec![9.0]));
        let (labels, peaks) = of_row(&[2.0, 6.0, 3.0, 9.0, 1.0], SPLIT);
        // The saddle itself goes where its highest neighbour is.
        assert_eq!((labels, peaks), (vec![2, 2, 1, 1, 1], vec![9.0, 6.0]));
    }

    #[test]
    fn a_saddle_of_too_little_depth_does_not_split() {
        let deep = |min_depth| Split { min_depth, ..SPLIT };
        let row = [2.0, 6.0, 3.0, 9.0, 1.0];
        assert_eq!(of_row(&row, deep(3.0)).1, [9.0, 6.0]);
        assert_eq!(of_row(&row, deep(3.1)).1, [9.0]);
    }

    #[test]
    fn a_peak_of_too_few_voxels_joins_its_neighbour() {
        let few = Split {
            min_count: 3,
            ..SPLIT
        };
        let (labels, _) = of_row(&[1.0, 8.0, 1.0, 5.0, 6.0, 1.0, 9.0, 7.0], few);
        assert_eq!(labels, [2, 2, 2, 2, 2, 1, 1, 1]);
    }

    #[test]
    fn what_does_not_touch_is_apart_however_high_the_saddle() {
        let (labels, peaks) = of_row(&[5.0, 0.0, 5.0], Split::NEVER);
        assert_eq!((labels, peaks), (vec![1, 0, 2], vec![5.0; 2]));
    }

    /// The sets of voxels of the basins, by their place in another orientation.
    fn sets(labels: &[u32], place: impl Fn(usize) -> usize) -> BTreeSet<BTreeSet<usize>> {
        let count = labels.iter().max().copied().unwrap_or(0);
        let of = |label: u32| {
            let own = (0..labels.len()).filter(|i| labels[*i] == label);
            own.map(&place).collect()
        };
        (1..=count).map(of).collect()
    }

    const SIZE: [usize; 3] = [3, 4, 5];

    /// Index of voxel `i` after one of the 48 changes of axes and directions, and the size after it.
    fn turned(i: usize, order: [usize; 3], flips: [bool; 3]) -> (usize, [usize; 3]) {
        let [_, ny, nx] = SIZE;
        let at = [i / (ny * nx), i / nx % ny, i % nx];
        let size = order.map(|axis| SIZE[axis]);
        let to = |k: usize| {
            let axis = order[k];
            if flips[k] {
                SIZE[axis] - 1 - at[axis]
            } else {
                at[axis]
            }
        };
        ((to(0) * size[1] + to(1)) * size[2] + to(2), size)
    }

    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];

    proptest! {
        #[test]
        fn basins_part_the_inside_are_connected_and_the_same_in_all_orientations(
            ranks in Just((1..=60_u8).collect::<Vec<_>>()).prop_shuffle(),
            floor in 1..40_u8,
            share in 0.0..1.0_f32,
            min_count in 0..4_usize,
        ) {
            let values: Vec<f32> = ranks.iter().map(|r| f32::from(*r)).collect();
            let inside: Vec<bool> = ranks.iter().map(|r| *r >= floor).collect();
            let split = Split { max_saddle_share: share, min_depth: 0.0, min_count };
            let (labels, basins) = watershed(&values, &inside, SIZE, split);
            for (label, inside) in labels.iter().zip(&inside) {
                prop_assert_eq!(*label > 0, *inside);
            }
            for (basin, number) in basins.iter().zip(1_u32..) {
                let own: Vec<bool> = labels.iter().map(|l| *l == number).collect();
                prop_assert_eq!(own.iter().filter(|o| **o).count(), basin.count);
                prop_assert_eq!(values[basin.peak_index].to_bits(), basin.peak.to_bits());
                prop_assert!(own[basin.peak_index]);
                prop_assert_eq!(watershed(&values, &own, SIZE, Split::NEVER).1.len(), 1);
            }
            let expected = sets(&labels, |i| i);
            for order in ORDERS {
                for flips in 0..8 {
                    let flips = [flips & 1 > 0, flips & 2 > 0, flips & 4 > 0];
                    let to = |i: usize| turned(i, order, flips);
                    let (mut there, mut open) = (values.clone(), inside.clone());
                    for i in 0..values.len() {
                        there[to(i).0] = values[i];
                        open[to(i).0] = inside[i];
                    }
                    let (found, _) = watershed(&there, &open, to(0).1, split);
                    let back: Vec<u32> = (0..found.len()).map(|i| found[to(i).0]).collect();
                    prop_assert_eq!(&sets(&back, |i| i), &expected);
                }
            }
        }
    }
}
