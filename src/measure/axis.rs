//! Long and short axis of a lesion in one acquired slice.
//!
//! The outline of a slice's voxels is the convex hull of the midpoints of their edges: a run of n pixels measures exactly
//! n spacings, and a digital disc measures its diameter without the bias of pixel centres (too short) or corners (too long).

use super::Axis;
use crate::lesion::LesionMask;
use crate::volume::Geometry;
use glam::DVec2;
use std::collections::BTreeMap;

/// Both axes and the slice that holds them: the slice with the largest long axis, the lowest such index.
///
/// `None` for an empty mask. Definition: the largest diameter in one slice and the largest perpendicular one in that slice.
pub(super) fn axes(mask: &LesionMask, geometry: &Geometry) -> Option<(usize, Axis, Axis)> {
    let [_, row_mm, column_mm] = geometry.spacing_mm();
    let mut slices: BTreeMap<usize, Vec<DVec2>> = BTreeMap::new();
    for [z, y, x] in mask.voxels() {
        let centre = DVec2::new((x as f64 + 0.5) * column_mm, (y as f64 + 0.5) * row_mm);
        let (dx, dy) = (
            DVec2::new(column_mm / 2.0, 0.0),
            DVec2::new(0.0, row_mm / 2.0),
        );
        slices
            .entry(z)
            .or_default()
            .extend([centre - dx, centre + dx, centre - dy, centre + dy]);
    }
    let mut best: Option<(usize, Vec<DVec2>, [DVec2; 2])> = None;
    for (z, points) in slices {
        let hull = convex_hull(points);
        let long = longest(&hull);
        let shorter = best
            .as_ref()
            .is_none_or(|(_, _, b)| long[0].distance(long[1]) > b[0].distance(b[1]));
        if shorter {
            best = Some((z, hull, long));
        }
    }
    let (z, hull, long) = best?;
    let pixels = DVec2::new(column_mm, row_mm);
    let axis = |[a, b]: [DVec2; 2]| Axis {
        length_mm: a.distance(b),
        ends_column_row: [(a / pixels).to_array(), (b / pixels).to_array()],
    };
    Some((z, axis(long), axis(widest_across(&hull, long))))
}

/// The farthest pair of hull points; the first such pair in hull order.
fn longest(hull: &[DVec2]) -> [DVec2; 2] {
    let mut best = [hull[0]; 2];
    for (i, a) in hull.iter().enumerate() {
        for b in &hull[i + 1..] {
            if a.distance_squared(*b) > best[0].distance_squared(best[1]) {
                best = [*a, *b];
            }
        }
    }
    best
}

/// The longest chord of the hull perpendicular to `long`; a convex outline's widest chord starts at one of its corners.
fn widest_across(hull: &[DVec2], long: [DVec2; 2]) -> [DVec2; 2] {
    let along = (long[1] - long[0]).normalize_or(DVec2::X);
    let across = along.perp();
    let mut best = [long[0]; 2];
    for corner in hull {
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for (i, a) in hull.iter().enumerate() {
            let b = hull[(i + 1) % hull.len()];
            if let Some(t) = crossing(*corner, along, across, *a, b) {
                low = low.min(t);
                high = high.max(t);
            }
        }
        if high - low > best[0].distance(best[1]) {
            best = [*corner + across * low, *corner + across * high];
        }
    }
    best
}

/// Where the line through `origin` along `across` crosses the segment from `a` to `b`, as a distance from `origin`.
fn crossing(origin: DVec2, along: DVec2, across: DVec2, a: DVec2, b: DVec2) -> Option<f64> {
    let (sa, sb) = ((a - origin).dot(along), (b - origin).dot(along));
    if sa * sb > 0.0 || (sa - sb).abs() < 1e-12 {
        return None;
    }
    Some((a + (b - a) * (sa / (sa - sb)) - origin).dot(across))
}

/// Corners of the convex hull, counter-clockwise (Andrew's monotone chain).
fn convex_hull(mut points: Vec<DVec2>) -> Vec<DVec2> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let half = |points: &mut dyn Iterator<Item = DVec2>| {
        let mut chain: Vec<DVec2> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..] {
                if (b - a).perp_dot(p - a) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter().copied());
    hull.extend(half(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DVec3;
    use proptest::prelude::*;

    fn grid(spacing_mm: [f64; 3]) -> Geometry {
        Geometry::axis_aligned([3, 80, 80], spacing_mm, DVec3::ZERO)
    }

    fn mask_of(size: [usize; 3], inside: impl Fn([usize; 3]) -> bool) -> LesionMask {
        let [nz, ny, nx] = size;
        let all = (0..nz * ny * nx).map(|i| inside([i / (ny * nx), i / nx % ny, i % nx]));
        LesionMask {
            origin: [0; 3],
            size,
            inside: all.collect(),
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_row_of_pixels_measures_its_length_and_one_pixel_across() {
        let mask = mask_of([1, 3, 8], |[_, y, x]| y == 1 && (2..7).contains(&x));
        let (z, long, short) = axes(&mask, &grid([2.5, 0.5, 0.8])).expect("not empty");
        assert_eq!(z, 0);
        assert!(close(long.length_mm, 5.0 * 0.8) && close(short.length_mm, 0.5));
        assert_eq!(long.ends_column_row, [[2.0, 1.5], [7.0, 1.5]]);
    }

    #[test]
    fn one_pixel_measures_its_longer_edge() {
        let (_, long, short) =
            axes(&mask_of([1, 1, 1], |_| true), &grid([2.5, 0.5, 0.8])).expect("not empty");
        assert!(close(long.length_mm, 0.8) && close(short.length_mm, 0.5));
    }

    #[test]
    fn the_slice_with_the_largest_diameter_is_taken() {
        let mask = mask_of([3, 9, 9], |[z, y, x]| {
            y == 4 && (4 - [1, 3, 2][z]..=4 + [1, 3, 2][z]).contains(&x)
        });
        assert_eq!(axes(&mask, &grid([2.5, 1.0, 1.0])).expect("not empty").0, 1);
    }

    #[test]
    fn an_empty_mask_has_no_axes() {
        assert!(axes(&mask_of([2, 2, 2], |_| false), &grid([1.0; 3])).is_none());
    }

    proptest! {
        #[test]
        fn an_ellipse_measures_its_axes_within_a_pixel_diagonal(
            long in 6.0..15.0_f64, ratio in 0.4..1.0_f64, angle in 0.0..std::f64::consts::PI, row in 0.5..1.0_f64, column in 0.5..1.0_f64,
        ) {
            let (a, b) = (long, long * ratio);
            let centre = DVec2::new(40.2 * column, 39.9 * row);
            let mask = mask_of([1, 80, 80], |[_, y, x]| {
                let p = DVec2::from_angle(-angle).rotate(DVec2::new((x as f64 + 0.5) * column, (y as f64 + 0.5) * row) - centre);
                (p.x / a).powi(2) + (p.y / b).powi(2) <= 1.0
            });
            let (_, found, across) = axes(&mask, &grid([1.0, row, column])).expect("not empty");
            let diagonal = row.hypot(column);
            prop_assert!((found.length_mm - 2.0 * a).abs() <= diagonal, "long {} of {}", found.length_mm, 2.0 * a);
            prop_assert!((across.length_mm - 2.0 * b).abs() <= diagonal, "short {} of {}", across.length_mm, 2.0 * b);
            let [p, q] = found.ends_column_row.map(|e| DVec2::from_array(e) * DVec2::new(column, row));
            let [r, s] = across.ends_column_row.map(|e| DVec2::from_array(e) * DVec2::new(column, row));
            prop_assert!((q - p).normalize().dot((s - r).normalize()).abs() < 1e-6);
        }
    }
}
