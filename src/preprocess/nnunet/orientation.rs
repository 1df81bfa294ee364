//! The order and direction of a source's axes that a network was trained on, where its plans or its card name one.

use super::Axes;
use crate::volume::Geometry;

/// How a source grid must be turned, axis by axis, to lie as a network expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    axes: Axes,
    /// Whether each of the turned axes z, y, x runs backwards.
    reversed: [bool; 3],
}

impl Orientation {
    /// The source as it lies.
    pub const UNCHANGED: Self = Self {
        axes: Axes::UNCHANGED,
        reversed: [false; 3],
    };

    /// Turns `grid` so that its columns, rows and slices count up towards the patient directions of three letters, such as
    /// `RAS`, as nearly as its axes allow.
    ///
    /// `None` where the letters are none of R or L, A or P, S or I, each pair once.
    pub fn of(grid: &Geometry, letters: &str) -> Option<Self> {
        let wanted = directions(letters)?;
        let columns = grid.index_to_lps.matrix3.to_cols_array_2d();
        // Cosine of array axis z, y, x with patient axis l, p, s.
        let cosine = |axis: usize, patient: usize| {
            let column = columns[2 - axis];
            let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
            column[patient] / length
        };
        let agreement = |order: [usize; 3]| {
            let axes = order.iter().zip(wanted);
            axes.map(|(axis, (patient, _))| cosine(*axis, patient).abs())
                .sum::<f64>()
        };
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let best = orders
            .into_iter()
            .max_by(|a, b| agreement(*a).total_cmp(&agreement(*b)))?;
        let reversed = [0, 1, 2].map(|axis| {
            let (patient, sign) = wanted[axis];
            cosine(best[axis], patient) * sign < 0.0
        });
        Some(Self {
            axes: Axes::new(best)?,
            reversed,
        })
    }

    /// Whether three letters name an orientation.
    pub fn is_named(letters: &str) -> bool {
        directions(letters).is_some()
    }

    /// Sizes or spacings along the turned axes.
    pub fn permute<T: Copy>(self, values: [T; 3]) -> [T; 3] {
        self.axes.permute(values)
    }

    /// The voxels of a source of `size`, turned.
    ///
    /// # Panics
    /// Where the voxels are not as many as `size` says.
    pub fn forward<T: Copy + Send + Sync>(self, voxels: Vec<T>, size: [usize; 3]) -> Vec<T> {
        let turned = self.axes.forward(voxels, size);
        self.reverse(turned, self.axes.permute(size))
    }

    /// Undoes [`Orientation::forward`]; `size` is that of the turned volume.
    ///
    /// # Panics
    /// As [`Orientation::forward`].
    pub fn backward<T: Copy + Send + Sync>(self, voxels: Vec<T>, size: [usize; 3]) -> Vec<T> {
        self.axes.backward(self.reverse(voxels, size), size)
    }

    fn reverse<T: Copy>(self, mut voxels: Vec<T>, [_, rows, columns]: [usize; 3]) -> Vec<T> {
        let [slices_back, rows_back, columns_back] = self.reversed;
        if columns_back {
            voxels.chunks_exact_mut(columns).for_each(<[T]>::reverse);
        }
        if rows_back {
            let slices = voxels.chunks_exact_mut(rows * columns);
            slices.for_each(|slice| swap_ends(slice, columns));
        }
        if slices_back {
            swap_ends(&mut voxels, rows * columns);
        }
        voxels
    }
}

/// Reverses the order of runs of `length` values.
fn swap_ends<T: Copy>(values: &mut [T], length: usize) {
    let count = values.len() / length.max(1);
    for run in 0..count / 2 {
        let (first, last) = values.split_at_mut((count - 1 - run) * length);
        first[run * length..][..length].swap_with_slice(&mut last[..length]);
    }
}

/// Patient axis (l, p, s) and sign along slices, rows and columns.
fn directions(letters: &str) -> Option<[(usize, f64); 3]> {
    let direction = |letter: u8| match letter {
        b'L' => Some((0, 1.0)),
        b'R' => Some((0, -1.0)),
        b'P' => Some((1, 1.0)),
        b'A' => Some((1, -1.0)),
        b'S' => Some((2, 1.0)),
        b'I' => Some((2, -1.0)),
        _ => None,
    };
    let &[x, y, z] = letters.as_bytes() else {
        return None;
    };
    let found = [direction(z)?, direction(y)?, direction(x)?];
    let all = [0, 1, 2]
        .iter()
        .all(|axis| found.iter().any(|(own, _)| own == axis));
    all.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DAffine3, DMat3, DVec3};
    use proptest::prelude::*;

    /// A grid whose columns, rows and slices run along these directions in LPS.
    fn grid(size: [usize; 3], x: DVec3, y: DVec3, z: DVec3) -> Geometry {
        Geometry {
            size,
            index_to_lps: DAffine3::from_mat3_translation(DMat3::from_cols(x, y, z), DVec3::ONE),
        }
    }

    #[test]
    fn an_axial_ct_is_turned_to_ras_by_reversing_columns_and_rows() {
        let axial = grid([2, 2, 2], DVec3::X, DVec3::Y, DVec3::Z * 2.5);
        let to_ras = Orientation::of(&axial, "RAS").expect("letters");
        let voxels = vec![0, 1, 2, 3, 4, 5, 6, 7];
        let turned = to_ras.forward(voxels.clone(), [2; 3]);
        assert_eq!(turned, [3, 2, 1, 0, 7, 6, 5, 4]);
        assert_eq!(to_ras.backward(turned, [2; 3]), voxels);
        assert_eq!(Orientation::of(&axial, "LPS"), Some(Orientation::UNCHANGED));
    }

    #[test]
    fn letters_that_name_no_three_axes_are_none() {
        for letters in ["", "RA", "RAX", "RLS", "ras", "RASS"] {
            assert!(!Orientation::is_named(letters), "{letters}");
        }
    }

    proptest! {
        #[test]
        fn turned_voxels_lie_where_they_lay(
            size in [1_usize..5, 1_usize..5, 1_usize..5],
            turn in 0_usize..6,
            signs in prop::array::uniform3(prop::sample::select(vec![-1.0, 1.0])),
            tilt in -0.3..0.3_f64,
            letters in prop::sample::select(vec!["RAS", "LPS", "ASR", "SPL", "LAI"]),
        ) {
            let axes = [DVec3::X, DVec3::Y, DVec3::Z];
            let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][turn];
            let [x, y, z] = [0, 1, 2].map(|i| axes[order[i]] * signs[i] * (1.0 + i as f64));
            let source = grid(size, x, y, z + x * tilt);
            let orientation = Orientation::of(&source, letters).expect("letters");
            let count = size.iter().product::<usize>();
            let turned = orientation.forward((0..count).collect(), size);
            prop_assert_eq!(orientation.backward(turned.clone(), orientation.permute(size)), (0..count).collect::<Vec<_>>());
            // One step along each turned axis goes its letter's way.
            let [nz, ny, nx] = orientation.permute(size);
            let lps = |voxel: usize| {
                let linear = turned[voxel];
                let [_, rows, columns] = size;
                source.to_lps_mm(DVec3::new(
                    (linear % columns) as f64,
                    (linear / columns % rows) as f64,
                    (linear / (columns * rows)) as f64,
                ))
            };
            let wanted = directions(letters).expect("letters");
            for (axis, (count, step)) in [(nz, ny * nx), (ny, nx), (nx, 1)].into_iter().enumerate() {
                if count > 1 {
                    let way = (lps(step) - lps(0)).to_array();
                    let (patient, sign) = wanted[axis];
                    prop_assert!(way[patient] * sign > 0.0);
                }
            }
        }
    }
}
