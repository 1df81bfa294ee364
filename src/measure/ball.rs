//! How much of each voxel a ball holds, wherever its centre lies between the voxels.
//!
//! The ball is cut into planes parallel to the slices; of each plane's disc, the area in every pixel is exact. Slices may
//! be uneven and sheared (gantry tilt); rows and columns are perpendicular (PS3.3 C.7.6.2.1.1).

use crate::volume::{Geometry, SlicePositions, StoredVolume};
use glam::DVec3;
use std::ops::Range;

/// Planes lie at most so far apart, three to an interval (Gauss' rule), mm.
const INTERVAL_MM: f64 = 1.0;
/// Positions and weights of Gauss' rule of three points on -1 to 1.
const GAUSS: [(f64, f64); 3] = [
    (-0.774_596_669_241_483_4, 5.0 / 9.0),
    (0.0, 8.0 / 9.0),
    (0.774_596_669_241_483_4, 5.0 / 9.0),
];

/// The slices as boxes of voxels, in a frame of their own: along a row, along a column, along the normal, mm.
pub(super) struct Boxes<'a> {
    size: [usize; 3],
    row_mm: f64,
    column_mm: f64,
    step_mm: f64,
    /// By how much a step along the normal shifts the slice along its rows and columns, mm for each mm.
    shear: [f64; 2],
    slices: &'a SlicePositions,
}

/// A centre: the voxel that holds it, and where in that voxel it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Centre {
    /// The voxel, `[z, y, x]`.
    pub(super) voxel: [usize; 3],
    /// Off the voxel's centre along a row and along a column, pixels, each at most half a pixel.
    pub(super) off: [f64; 2],
    /// Along the normal, in steps of the grid.
    pub(super) position: f64,
}

/// What a ball holds of the voxels about the one that holds its centre; the weights sum to 1.
pub(super) struct Ball {
    parts: Vec<Part>,
    rows: [isize; 2],
    columns: [isize; 2],
}

struct Part {
    slice: usize,
    row: isize,
    column: isize,
    weight: f64,
}

/// A disc in the plane of a slice, about a point off a pixel's centre, mm.
struct Disc {
    x_mm: f64,
    y_mm: f64,
    radius_mm: f64,
    weight: f64,
}

impl<'a> Boxes<'a> {
    pub(super) fn new(geometry: &Geometry, slices: &'a SlicePositions) -> Self {
        let m = geometry.index_to_lps.matrix3;
        let (along_row, along_column) = (m.x_axis.normalize(), m.y_axis.normalize());
        let step_mm = m.z_axis.dot(along_row.cross(along_column));
        Self {
            size: geometry.size,
            row_mm: m.y_axis.length(),
            column_mm: m.x_axis.length(),
            step_mm: step_mm.abs(),
            shear: [along_row, along_column].map(|axis| m.z_axis.dot(axis) / step_mm.abs()),
            slices,
        }
    }

    /// Sizes of a voxel of `slice` along z, y, x, mm.
    pub(super) fn voxel_mm(&self, slice: usize) -> [f64; 3] {
        let thickness_mm = self.slices.extent(slice) * self.step_mm;
        [thickness_mm, self.row_mm, self.column_mm]
    }

    /// Where a slice ends below and above, in steps of the grid: half-way to its neighbours, and at either end of the
    /// stack as far outwards as inwards.
    pub(super) fn borders(&self, slice: usize) -> [f64; 2] {
        let at = |slice| self.slices.position(slice);
        let half = self.slices.extent(slice) / 2.0;
        let below = match slice.checked_sub(1) {
            Some(below) => f64::midpoint(at(below), at(slice)),
            None => at(slice) - half,
        };
        let above = match slice + 1 < self.size[0] {
            true => f64::midpoint(at(slice), at(slice + 1)),
            false => at(slice) + half,
        };
        [below, above]
    }

    /// A centre moved by millimetres along a row, a column and the normal; `None` where no voxel holds it.
    pub(super) fn moved(&self, centre: Centre, by_mm: DVec3) -> Option<Centre> {
        let position = centre.position + by_mm.z / self.step_mm;
        let slice = (0..self.size[0]).find(|slice| {
            let [below, above] = self.borders(*slice);
            (below..above).contains(&position)
        })?;
        let sheared = by_mm.z * DVec3::new(self.shear[0], self.shear[1], 0.0);
        let along_row = centre.off[0] + (by_mm.x - sheared.x) / self.column_mm;
        let along_column = centre.off[1] + (by_mm.y - sheared.y) / self.row_mm;
        let [_, y, x] = centre.voxel;
        let (column, off_x) = shifted(x, along_row, self.size[2])?;
        let (row, off_y) = shifted(y, along_column, self.size[1])?;
        Some(Centre {
            voxel: [slice, row, column],
            off: [off_x, off_y],
            position,
        })
    }

    /// The ball about a centre; `None` where it leaves the first or the last slice.
    pub(super) fn ball(&self, centre: Centre, radius_mm: f64) -> Option<Ball> {
        let height_mm = centre.position * self.step_mm;
        let mut ball = Ball {
            parts: Vec::new(),
            rows: [0; 2],
            columns: [0; 2],
        };
        let mut covered_mm = 0.0;
        for slice in 0..self.size[0] {
            let borders = self.borders(slice).map(|at| at * self.step_mm - height_mm);
            let (low, high) = (borders[0].max(-radius_mm), borders[1].min(radius_mm));
            if low < high {
                covered_mm += high - low;
                ball.add_slice(slice, &self.discs(centre, radius_mm, [low, high]), self);
            }
        }
        let whole = 2.0 * radius_mm;
        (covered_mm >= whole * (1.0 - 1e-9)).then(|| ball.normalised())
    }

    /// The discs of a ball between two heights over its centre, mm.
    fn discs(&self, centre: Centre, radius_mm: f64, [low, high]: [f64; 2]) -> Vec<Disc> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few millimetres"
        )]
        let intervals = ((high - low) / INTERVAL_MM).ceil().max(1.0) as usize;
        let half = (high - low) / intervals as f64 / 2.0;
        let planes = (0..intervals).flat_map(|i| {
            let middle = low + (2 * i + 1) as f64 * half;
            GAUSS.map(|(at, weight)| (middle + at * half, weight * half))
        });
        let disc = |(height, weight): (f64, f64)| Disc {
            x_mm: centre.off[0] * self.column_mm - height * self.shear[0],
            y_mm: centre.off[1] * self.row_mm - height * self.shear[1],
            radius_mm: (radius_mm * radius_mm - height * height).max(0.0).sqrt(),
            weight,
        };
        planes.map(disc).collect()
    }
}

/// A pixel number and a place off its centre, counted from the pixel that holds the place.
#[expect(
    clippy::cast_possible_truncation,
    reason = "moves of a few pixels; a float that is too large saturates"
)]
fn shifted(pixel: usize, off: f64, count: usize) -> Option<(usize, f64)> {
    let whole = off.round();
    let to = pixel
        .checked_add_signed(whole as isize)
        .filter(|to| *to < count)?;
    Some((to, off - whole))
}

impl Ball {
    /// Mean of the voxels that it holds, where `at` holds its centre; `None` where it leaves the slices' rows or columns.
    pub(super) fn mean(&self, volume: &StoredVolume, [y, x]: [usize; 2]) -> Option<f64> {
        let [_, rows, columns] = volume.geometry.size;
        let within = |at: usize, [first, last]: [isize; 2], count: usize| {
            let end = at.checked_add_signed(last).is_some_and(|end| end < count);
            end && at.checked_add_signed(first).is_some()
        };
        if !within(y, self.rows, rows) || !within(x, self.columns, columns) {
            return None;
        }
        let value = |part: &Part| {
            let row = y.wrapping_add_signed(part.row);
            let column = x.wrapping_add_signed(part.column);
            f64::from(volume.rescaled([part.slice, row, column])) * part.weight
        };
        Some(self.parts.iter().map(value).sum())
    }

    fn add_slice(&mut self, slice: usize, discs: &[Disc], boxes: &Boxes) {
        let rows = reached(discs, |disc| disc.y_mm, boxes.row_mm);
        let columns = reached(discs, |disc| disc.x_mm, boxes.column_mm);
        let borders = |pixels: &Range<isize>, size_mm: f64| {
            let borders = pixels.start..=pixels.end;
            borders.map(move |pixel| (pixel as f64 - 0.5) * size_mm)
        };
        let width = columns.len() + 1;
        let mut below = vec![0.0; (rows.len() + 1) * width];
        for disc in discs {
            let ys = borders(&rows, boxes.row_mm);
            let corners = ys.flat_map(|y| borders(&columns, boxes.column_mm).map(move |x| (x, y)));
            for (below, (x, y)) in below.iter_mut().zip(corners) {
                *below += disc.weight * quadrant(x - disc.x_mm, y - disc.y_mm, disc.radius_mm);
            }
        }
        for (r, row) in rows.enumerate() {
            for (c, column) in columns.clone().enumerate() {
                let at = |r: usize, c: usize| below[r * width + c];
                let weight = at(r + 1, c + 1) - at(r, c + 1) - at(r + 1, c) + at(r, c);
                self.parts.push(Part {
                    slice,
                    row,
                    column,
                    weight,
                });
            }
        }
    }

    fn normalised(mut self) -> Self {
        let whole: f64 = self.parts.iter().map(|part| part.weight).sum();
        for part in &mut self.parts {
            part.weight /= whole;
        }
        // What is below rounding shall not push a ball over the edge of the image.
        self.parts.retain(|part| part.weight > 1e-12);
        let range = |of: fn(&Part) -> isize| {
            let all = self.parts.iter().map(of);
            [all.clone().min().unwrap_or(0), all.max().unwrap_or(0)]
        };
        (self.rows, self.columns) = (range(|part| part.row), range(|part| part.column));
        self
    }
}

/// The pixels along one axis that any of the discs reaches.
#[expect(
    clippy::cast_possible_truncation,
    reason = "discs of a few millimetres; a float that is too large saturates"
)]
fn reached(discs: &[Disc], centre: fn(&Disc) -> f64, size_mm: f64) -> Range<isize> {
    let low = discs.iter().map(|d| centre(d) - d.radius_mm);
    let high = discs.iter().map(|d| centre(d) + d.radius_mm);
    let first = (low.fold(f64::INFINITY, f64::min) / size_mm + 0.5).floor() as isize;
    let end = (high.fold(f64::NEG_INFINITY, f64::max) / size_mm + 0.5).ceil() as isize;
    first..end.max(first + 1)
}

/// Area of a disc about the origin where both coordinates are at most `x` and `y`.
fn quadrant(x: f64, y: f64, radius: f64) -> f64 {
    let (x, y) = (x.clamp(-radius, radius), y.clamp(-radius, radius));
    // Area left of a line, and below one: what lies beyond both is outside the disc, or counted once too often.
    let left = cap(x, radius);
    let below = cap(y, radius);
    if x * x + y * y >= radius * radius {
        let whole = std::f64::consts::PI * radius * radius;
        return match (x >= 0.0, y >= 0.0) {
            (true, true) => left + below - whole,
            (true, false) => below,
            (false, true) => left,
            (false, false) => 0.0,
        };
    }
    // From where the line at `y` enters the disc to `x`, the strip between that line and the lower arc.
    let enters = -(radius * radius - y * y).sqrt();
    let strip = y * (x - enters) + (arc(x, radius) - arc(enters, radius));
    if y >= 0.0 {
        cap(enters, radius) + strip
    } else {
        strip
    }
}

/// Area of a disc about the origin left of the line at `x`.
fn cap(x: f64, radius: f64) -> f64 {
    2.0 * (arc(x, radius) - arc(-radius, radius))
}

/// Integral of the upper arc of a circle.
fn arc(x: f64, radius: f64) -> f64 {
    if radius <= 0.0 {
        return 0.0;
    }
    let under = (radius * radius - x * x).max(0.0).sqrt();
    f64::midpoint(
        x * under,
        radius * radius * (x / radius).clamp(-1.0, 1.0).asin(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DAffine3;
    use proptest::prelude::*;

    /// Weights differ from those of fine cubes by less than this.
    const TOLERANCE: f64 = 1e-3;

    /// The same by counting: each voxel as cubes of a twentieth of its size.
    fn counted(
        geometry: &Geometry,
        boxes: &Boxes,
        centre_lps_mm: DVec3,
        radius_mm: f64,
    ) -> Vec<f64> {
        const CUBES: usize = 20;
        let [nz, ny, nx] = geometry.size;
        let part = |i: usize| (i as f64 + 0.5) / CUBES as f64;
        let mut held = vec![0.0; geometry.voxel_count()];
        for (i, held) in held.iter_mut().enumerate() {
            let (z, y, x) = (i / (ny * nx), i / nx % ny, i % nx);
            let [low, high] = boxes.borders(z.min(nz - 1));
            for cube in 0..CUBES * CUBES * CUBES {
                let (a, b, c) = (cube / (CUBES * CUBES), cube / CUBES % CUBES, cube % CUBES);
                let at = DVec3::new(
                    x as f64 - 0.5 + part(c),
                    y as f64 - 0.5 + part(b),
                    low + (high - low) * part(a),
                );
                let inside = geometry.to_lps_mm(at).distance(centre_lps_mm) <= radius_mm;
                *held += f64::from(inside) * (high - low);
            }
        }
        let whole: f64 = held.iter().sum();
        held.iter().map(|part| part / whole).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_ball_holds_of_each_voxel_what_counting_says(
            off in (-0.5..0.5_f64, -0.5..0.5_f64), at in 2.6..4.4_f64, shear in -0.5..0.5_f64, uneven in any::<bool>(),
        ) {
            let index_to_lps = DAffine3::from_cols(DVec3::X * 2.0, DVec3::Y * 2.5, DVec3::new(0.3 * shear, shear, 3.0), DVec3::ZERO);
            let geometry = Geometry { size: [8, 9, 9], index_to_lps };
            let slices = match uneven {
                true => SlicePositions::uneven(vec![0.0, 0.7, 2.0, 3.0, 4.5, 5.0, 6.5, 7.0]).expect("ascending"),
                false => SlicePositions::even(),
            };
            let boxes = Boxes::new(&geometry, &slices);
            let slice = (0..8).find(|z| boxes.borders(*z)[1] > at).expect("inside");
            let centre = Centre { voxel: [slice, 4, 4], off: off.into(), position: at };
            let ball = boxes.ball(centre, 6.0).expect("inside");
            let lps = geometry.to_lps_mm(DVec3::new(4.0 + off.0, 4.0 + off.1, at));
            let mut found = vec![0.0; geometry.voxel_count()];
            for part in &ball.parts {
                let voxel = [part.slice, 4_usize.wrapping_add_signed(part.row), 4_usize.wrapping_add_signed(part.column)];
                found[geometry.linear(voxel)] = part.weight;
            }
            for (found, counted) in found.iter().zip(counted(&geometry, &boxes, lps, 6.0)) {
                prop_assert!((found - counted).abs() < TOLERANCE, "{found} {counted}");
            }
        }
    }

    #[test]
    fn a_quarter_of_a_disc_lies_below_and_left_of_its_centre() {
        let quarter = std::f64::consts::PI;
        let areas = [
            (0.0, 0.0, quarter),
            (2.0, 0.0, 2.0 * quarter),
            (9.0, 9.0, 4.0 * quarter),
            (-1.9, -1.9, 0.0),
            (-9.0, 1.0, 0.0),
        ];
        for (x, y, wanted) in areas {
            let found = quadrant(x, y, 2.0);
            assert!((found - wanted).abs() < 1e-12, "{x} {y}: {found}");
        }
    }

    #[test]
    fn a_moved_centre_lies_in_the_voxel_that_holds_it() {
        let geometry = Geometry::axis_aligned([5, 6, 7], [3.0, 2.0, 2.0], DVec3::ZERO);
        let slices = SlicePositions::even();
        let boxes = Boxes::new(&geometry, &slices);
        let centre = Centre {
            voxel: [2, 2, 2],
            off: [0.25, 0.0],
            position: 2.0,
        };
        let moved = boxes.moved(centre, DVec3::new(1.0, -2.0, 1.8));
        let wanted = Centre {
            voxel: [3, 1, 3],
            off: [-0.25, 0.0],
            position: 2.6,
        };
        assert_eq!(moved, Some(wanted));
        assert_eq!(boxes.moved(centre, DVec3::X * 9.0), None);
        assert_eq!(boxes.moved(centre, DVec3::NEG_Z * 8.0), None);
    }
}
