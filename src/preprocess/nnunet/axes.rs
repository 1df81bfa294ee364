//! Permutes the axes of a volume: nnU-Net's `transpose_forward` and its inverse.

use rayon::prelude::*;

/// An order of a volume's axes; axis `i` of the result is axis `order[i]` of the source, as in NumPy's `transpose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes([usize; 3]);

impl Axes {
    /// The axes as they are.
    pub const UNCHANGED: Self = Self([0, 1, 2]);

    /// `None` unless each of 0, 1 and 2 occurs once.
    pub fn new(order: [usize; 3]) -> Option<Self> {
        let mut sorted = order;
        sorted.sort_unstable();
        (sorted == [0, 1, 2]).then_some(Self(order))
    }

    /// The order that undoes this one: nnU-Net's `transpose_backward`.
    pub fn inverse(self) -> Self {
        let mut order = [0; 3];
        for (to, from) in self.0.into_iter().enumerate() {
            order[from] = to;
        }
        Self(order)
    }

    /// Sizes or spacings in the new order.
    pub fn permute<T: Copy>(self, values: [T; 3]) -> [T; 3] {
        self.0.map(|axis| values[axis])
    }

    /// The voxels of a volume of `size` in the new order.
    ///
    /// # Panics
    /// Where the voxels are not as many as `size` says.
    pub fn forward<T: Copy + Send + Sync>(self, voxels: Vec<T>, size: [usize; 3]) -> Vec<T> {
        assert_eq!(voxels.len(), size.iter().product::<usize>());
        if self == Self::UNCHANGED {
            return voxels;
        }
        let [_, rows, columns] = self.permute(size);
        let [step_z, step_y, step_x] = self.permute([size[1] * size[2], size[2], 1]);
        let mut moved = voxels.clone();
        let lines = moved.par_chunks_mut(columns.max(1)).enumerate();
        lines.for_each(|(line, moved)| {
            let first = line / rows * step_z + line % rows * step_y;
            for (x, voxel) in moved.iter_mut().enumerate() {
                *voxel = voxels[first + x * step_x];
            }
        });
        moved
    }

    /// Undoes [`Axes::forward`]; `size` is that of the permuted volume.
    ///
    /// # Panics
    /// As [`Axes::forward`].
    pub fn backward<T: Copy + Send + Sync>(self, voxels: Vec<T>, size: [usize; 3]) -> Vec<T> {
        self.inverse().forward(voxels, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_repeats_an_axis_is_none() {
        assert!(Axes::new([0, 2, 2]).is_none());
        assert!(Axes::new([0, 1, 3]).is_none());
        assert!(Axes::new([2, 0, 1]).is_some());
    }

    #[test]
    fn axes_move_as_numpy_moves_them() {
        let axes = Axes::new([2, 0, 1]).expect("a permutation");
        let moved = axes.forward(vec![0, 1, 2, 3, 4, 5], [1, 2, 3]);
        assert_eq!(axes.permute([1, 2, 3]), [3, 1, 2]);
        assert_eq!(moved, [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn backward_undoes_forward() {
        let voxels: Vec<u16> = (0..2 * 3 * 5).collect();
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let axes = Axes::new(order).expect("a permutation");
            let moved = axes.forward(voxels.clone(), [2, 3, 5]);
            assert_eq!(
                axes.backward(moved, axes.permute([2, 3, 5])),
                voxels,
                "{order:?}"
            );
        }
    }
}
