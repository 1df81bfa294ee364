//! Connected components of a mask: in goes one number a voxel, 0 outside; out comes, for each voxel inside, which
//! component it belongs to. A component is named by its first voxel in storage order, so the names do not depend on
//! the order in which threads run.

#![expect(
    clippy::cast_possible_truncation,
    reason = "voxel indices fit 32 bits: labels hold them, as the shader's do"
)]

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};

/// Which voxels count as neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// The 6 that share a face.
    Faces,
    /// The 26 that share a face, an edge or a corner.
    Corners,
}

impl Connectivity {
    /// The neighbouring rows that come earlier in storage order, as steps along z and y.
    fn earlier_rows(self) -> &'static [[isize; 2]] {
        match self {
            Self::Faces => &[[0, -1], [-1, 0]],
            Self::Corners => &[[0, -1], [-1, -1], [-1, 0], [-1, 1]],
        }
    }

    /// How far apart along x two voxels of neighbouring rows may lie and still be neighbours.
    fn reach_x(self) -> usize {
        match self {
            Self::Faces => 0,
            Self::Corners => 1,
        }
    }
}

params! {
    /// Mirrors `Params` in `shaders/label.wgsl`.
    struct Params {
        grid: Grid,
        corners: u32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

const fn kernel(label: &'static str, entry_point: &'static str) -> Kernel {
    Kernel {
        label,
        source: concat!(
            include_str!("../../shaders/shared/grid.wgsl"),
            include_str!("../../shaders/label.wgsl"),
        ),
        constants: &[],
        unchecked: false,
        entry_point,
        workgroup_size: [32, 4, 2],
        params: Params::LAYOUT,
        buffers: &[Access::Read, Access::ReadWrite],
    }
}

/// `start` of `shaders/label.wgsl`
pub static START: Kernel = kernel("label: start", "start");
/// `join` of `shaders/label.wgsl`
pub static JOIN: Kernel = kernel("label: join", "join");
/// `finish` of `shaders/label.wgsl`
pub static FINISH: Kernel = kernel("label: finish", "finish");

/// Records the kernels; `mask` and the labels are one word a voxel.
///
/// # Errors
/// [`Error::Gpu`].
pub fn record(
    pass: &mut Pass<'_>,
    mask: &Buffer<u32>,
    size: [usize; 3],
    connectivity: Connectivity,
) -> Result<Buffer<u32>, Error> {
    let labels = pass.gpu().output("labels", mask.len())?;
    let params = Params {
        grid: Grid::new(size)?,
        corners: u32::from(connectivity == Connectivity::Corners),
        _pad0: 0,
        _pad1: 0,
        _pad2: 0,
    };
    for kernel in [&START, &JOIN, &FINISH] {
        let buffers = [mask.binding(), labels.binding()];
        pass.dispatch(kernel, &params, &buffers, Extent::Voxels(size))?;
    }
    Ok(labels)
}

/// The definition; the shader must agree to the bit.
///
/// `mask` is `[z, y, x]` of `size`, inside where not 0, with fewer than 2³² voxels. A voxel inside gets
/// 1 + the linear index of its component's first voxel, a voxel outside gets 0.
pub fn reference(mask: &[u8], size: [usize; 3], connectivity: Connectivity) -> Vec<u32> {
    debug_assert_eq!(mask.len(), size.iter().product::<usize>());
    let rows = Rows::of(mask, size);
    let mut parent: Vec<u32> = (0..).take(rows.runs.len()).collect();
    for z in 0..size[0] {
        for y in 0..size[1] {
            for &[dz, dy] in connectivity.earlier_rows() {
                let Some(neighbour) =
                    rows.index(z.checked_add_signed(dz), y.checked_add_signed(dy))
                else {
                    continue;
                };
                rows.join(
                    z * size[1] + y,
                    neighbour,
                    connectivity.reach_x(),
                    &mut parent,
                );
            }
        }
    }
    rows.paint(&mut parent, mask.len())
}

/// Renames the components of [`reference()`] to 1, 2, 3 … in the order of their first voxels; returns how many there are.
pub fn number(labels: &mut [u32]) -> u32 {
    let mut count = 0;
    for i in 0..labels.len() {
        let Some(first) = labels[i].checked_sub(1) else {
            continue;
        };
        let first = first as usize;
        // The first voxel comes first, so every other voxel finds it renamed already.
        labels[i] = if first == i {
            count += 1;
            count
        } else {
            labels[first]
        };
    }
    count
}

/// Voxels of one row that are inside and lie side by side: x from `start` to before `end`.
struct Run {
    start: u32,
    end: u32,
    /// Linear index of its first voxel.
    first: usize,
}

/// All runs of a mask in storage order.
struct Rows {
    size: [usize; 3],
    runs: Vec<Run>,
    /// Row `r` (z · rows a slice + y) owns the runs `first_run[r]..first_run[r + 1]`.
    first_run: Vec<usize>,
}

impl Rows {
    fn of(mask: &[u8], size: [usize; 3]) -> Self {
        let mut runs = Vec::new();
        let mut first_run = vec![0];
        for (r, row) in mask.chunks_exact(size[2].max(1)).enumerate() {
            let mut x = 0;
            while let Some(gap) = row[x..].iter().position(|&v| v != 0) {
                let start = x + gap;
                x = start + row[start..].iter().take_while(|&&v| v != 0).count();
                runs.push(Run {
                    start: start as u32,
                    end: x as u32,
                    first: r * size[2] + start,
                });
            }
            first_run.push(runs.len());
        }
        Self {
            size,
            runs,
            first_run,
        }
    }

    fn index(&self, z: Option<usize>, y: Option<usize>) -> Option<usize> {
        let (z, y) = (z?, y?);
        (z < self.size[0] && y < self.size[1]).then(|| z * self.size[1] + y)
    }

    /// Unites the touching runs of two rows.
    fn join(&self, row: usize, other: usize, reach_x: usize, parent: &mut [u32]) {
        let reach = reach_x as u32;
        let (mut a, a_end) = (self.first_run[row], self.first_run[row + 1]);
        let (mut b, b_end) = (self.first_run[other], self.first_run[other + 1]);
        while a < a_end && b < b_end {
            let (run, neighbour) = (&self.runs[a], &self.runs[b]);
            if run.start < neighbour.end + reach && neighbour.start < run.end + reach {
                unite(parent, a as u32, b as u32);
            }
            if run.end < neighbour.end {
                a += 1;
            } else {
                b += 1;
            }
        }
    }

    /// Writes the name of each run's component into its voxels.
    fn paint(&self, parent: &mut [u32], voxels: usize) -> Vec<u32> {
        let mut labels = vec![0; voxels];
        for (i, run) in self.runs.iter().enumerate() {
            let root = root_of(parent, i as u32) as usize;
            let length = (run.end - run.start) as usize;
            labels[run.first..run.first + length].fill(self.runs[root].first as u32 + 1);
        }
        labels
    }
}

fn root_of(parent: &mut [u32], mut run: u32) -> u32 {
    while parent[run as usize] != run {
        let grandparent = parent[parent[run as usize] as usize];
        parent[run as usize] = grandparent;
        run = grandparent;
    }
    run
}

/// The smaller root wins, so a component's root is its first run.
fn unite(parent: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root_of(parent, a), root_of(parent, b));
    parent[a.max(b) as usize] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONNECTIVITIES: [Connectivity; 2] = [Connectivity::Faces, Connectivity::Corners];

    /// Flood fill from each voxel in storage order.
    fn flood_fill(mask: &[u8], size: [usize; 3], connectivity: Connectivity) -> Vec<u32> {
        let [nz, ny, nx] = size.map(|n| n as isize);
        let mut labels = vec![0; mask.len()];
        for first in 0..mask.len() {
            let mut open = vec![first];
            while let Some(i) = open.pop() {
                if mask[i] == 0 || labels[i] != 0 {
                    continue;
                }
                labels[i] = first as u32 + 1;
                let i = i as isize;
                let (z, y, x) = (i / (ny * nx), i / nx % ny, i % nx);
                for step in 0..27 {
                    let (dz, dy, dx) = (step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1);
                    if connectivity == Connectivity::Faces && dz * dz + dy * dy + dx * dx > 1 {
                        continue;
                    }
                    let (z, y, x) = (z + dz, y + dy, x + dx);
                    if (0..nz).contains(&z) && (0..ny).contains(&y) && (0..nx).contains(&x) {
                        open.push(((z * ny + y) * nx + x).cast_unsigned());
                    }
                }
            }
        }
        labels
    }

    fn masks() -> impl Strategy<Value = ([usize; 3], Vec<u8>)> {
        (1usize..8, 1usize..9, 1usize..20, 0.1f64..0.9).prop_flat_map(|(z, y, x, density)| {
            let voxel = prop::bool::weighted(density).prop_map(u8::from);
            (Just([z, y, x]), prop::collection::vec(voxel, z * y * x))
        })
    }

    proptest! {
        #[test]
        fn components_equal_a_flood_fill((size, mask) in masks()) {
            for connectivity in CONNECTIVITIES {
                prop_assert_eq!(
                    reference(&mask, size, connectivity),
                    flood_fill(&mask, size, connectivity)
                );
            }
        }
    }

    #[test]
    fn voxels_that_share_only_a_corner_are_one_component_of_26_neighbours() {
        let mask = [1, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            reference(&mask, [2, 2, 2], Connectivity::Faces),
            [1, 0, 0, 0, 0, 0, 0, 8]
        );
        assert_eq!(
            reference(&mask, [2, 2, 2], Connectivity::Corners),
            [1, 0, 0, 0, 0, 0, 0, 1]
        );
    }

    #[test]
    fn components_are_numbered_in_storage_order() {
        let mut labels = reference(&[0, 1, 0, 1, 1, 0, 1], [1, 1, 7], Connectivity::Faces);
        assert_eq!(labels, [0, 2, 0, 4, 4, 0, 7]);
        assert_eq!(number(&mut labels), 3);
        assert_eq!(labels, [0, 1, 0, 2, 2, 0, 3]);
    }

    #[test]
    fn an_empty_mask_has_no_component() {
        for size in [[0, 0, 0], [1, 1, 0], [2, 2, 2]] {
            let mask = vec![0; size.iter().product()];
            let mut labels = reference(&mask, size, Connectivity::Faces);
            assert_eq!(number(&mut labels), 0);
        }
    }
}
