//! Closed planar contours to the voxels whose centres they enclose.

use super::{Error, Warning};
use crate::dicom::Roi;
use crate::volume::{Geometry, Mask, SlicePositions, Volume};
use glam::{DVec2, DVec3};
use std::collections::BTreeMap;

/// A contour whose points lie further apart along z crosses slices; in steps of the grid.
const MAX_SPREAD_STEPS: f64 = 0.5;

/// Contours within this are on one plane, in steps of the grid.
const SAME_PLANE_STEPS: f64 = 0.05;

/// A contour in the plane of a slice.
struct Outline {
    /// Distance from the slice, steps of the grid.
    away: f64,
    /// Corners as column and row, fractional.
    corners: Vec<DVec2>,
}

/// The voxels that any of the ROIs covers.
pub(super) fn fill(
    rois: &[Roi],
    geometry: &Geometry,
    slices: &SlicePositions,
    warnings: &mut Vec<Warning>,
) -> Result<Mask, Error> {
    let mut mask = Volume::filled(*geometry, 0_u8);
    let [_, rows, columns] = geometry.size;
    let (mut outside, mut without) = (0, 0);
    for roi in rois {
        let (outlines, beyond) = on_slices(roi, geometry, slices)?;
        outside += beyond;
        without += skipped(&outlines);
        for (slice, outlines) in outlines {
            let mut plane = vec![0; rows * columns];
            let nearest = outlines
                .iter()
                .map(|o| o.away.abs())
                .fold(f64::MAX, f64::min);
            let drawn = outlines.iter().find(|o| o.away.abs() <= nearest);
            let away = drawn.map_or(0.0, |o| o.away);
            let on_plane = |o: &&Outline| (o.away - away).abs() <= SAME_PLANE_STEPS;
            for outline in outlines.iter().filter(on_plane) {
                toggle(&outline.corners, &mut plane, columns);
            }
            let start = slice * plane.len();
            let covered = &mut mask.voxels[start..start + plane.len()];
            covered.iter_mut().zip(plane).for_each(|(c, p)| *c |= p);
        }
    }
    if outside > 0 {
        warnings.push(Warning::ContoursOutside { count: outside });
    }
    if without > 0 {
        warnings.push(Warning::SlicesWithoutContour { count: without });
    }
    Ok(mask)
}

/// Outlines by the slice that each lies nearest to.
type BySlice = BTreeMap<usize, Vec<Outline>>;

/// The outlines of an ROI, and how many contours lie beyond the slices.
fn on_slices(
    roi: &Roi,
    geometry: &Geometry,
    slices: &SlicePositions,
) -> Result<(BySlice, usize), Error> {
    let to_index = geometry.lps_to_index();
    let (mut found, mut beyond) = (BySlice::new(), 0);
    for contour in &roi.contours_lps_mm {
        let points = contour.iter().map(|p| to_index.transform_point3(*p));
        let points: Vec<DVec3> = points.collect();
        let (low, high) = points
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.z), h.max(p.z)));
        if high - low > MAX_SPREAD_STEPS {
            return Err(Error::Oblique);
        }
        let place = f64::midpoint(low, high);
        let slice = (slices.slice_at(place) + 0.5).floor();
        if !(0.0..geometry.size[0] as f64).contains(&slice) {
            beyond += 1;
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number below the count of slices"
        )]
        let slice = slice as usize;
        found.entry(slice).or_default().push(Outline {
            away: place - slices.position(slice),
            corners: points.iter().map(|p| p.truncate()).collect(),
        });
    }
    Ok((found, beyond))
}

/// Slices without an outline between neighbours that have one, where the gaps are all alike: drawn on thicker slices.
fn skipped(outlines: &BySlice) -> usize {
    let slices: Vec<usize> = outlines.keys().copied().collect();
    let gaps = || slices.windows(2).map(|pair| pair[1] - pair[0] - 1);
    match gaps().filter(|gap| *gap > 0).count() * 2 > slices.len().saturating_sub(1) {
        true => gaps().sum(),
        false => 0,
    }
}

/// Toggles the voxels whose centres the outline encloses, so that of several outlines an even number leaves a hole.
fn toggle(corners: &[DVec2], plane: &mut [u8], columns: usize) {
    let rows = plane.len() / columns.max(1);
    let (low, high) = corners
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.y), h.max(p.y)));
    let mut crossings = Vec::new();
    for row in clamped(low, rows)..clamped(high + 1.0, rows) {
        let y = row as f64;
        let next = corners.iter().cycle().skip(1);
        crossings.clear();
        crossings.extend(corners.iter().zip(next).filter_map(|(a, b)| {
            // Half-open, so that a corner on the line counts once.
            let crosses = (a.y <= y) != (b.y <= y);
            crosses.then(|| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x))
        }));
        crossings.sort_by(f64::total_cmp);
        let line = &mut plane[row * columns..(row + 1) * columns];
        for pair in crossings.as_chunks::<2>().0 {
            let [from, to] = pair.map(|x| clamped(x, columns));
            line[from..to.max(from)].iter_mut().for_each(|v| *v ^= 1);
        }
    }
}

/// The first whole number that is not below, from 0 to `count`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a count"
)]
fn clamped(at: f64, count: usize) -> usize {
    at.ceil().clamp(0.0, count as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid() -> Geometry {
        Geometry::axis_aligned([5, 20, 30], [3.0, 1.0, 1.0], DVec3::ZERO)
    }

    fn square(from: [f64; 2], to: [f64; 2], z: f64) -> Vec<DVec3> {
        let ([x0, y0], [x1, y1]) = (from, to);
        [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            .map(|[x, y]| DVec3::new(x, y, z))
            .to_vec()
    }

    fn roi(contours_lps_mm: Vec<Vec<DVec3>>) -> Roi {
        Roi {
            number: 1,
            name: String::new(),
            frame_of_reference_uid: None,
            contours_lps_mm,
            open_contours: 0,
        }
    }

    /// Voxels inside of each slice.
    fn counts(contours: Vec<Vec<DVec3>>, slices: &SlicePositions) -> Vec<usize> {
        let mask = fill(&[roi(contours)], &grid(), slices, &mut Vec::new()).expect("parallel");
        let planes = mask.voxels.chunks(20 * 30);
        planes
            .map(|p| p.iter().filter(|v| **v == 1).count())
            .collect()
    }

    #[test]
    fn centres_within_a_square_are_inside_and_a_square_in_it_is_a_hole() {
        let outer = square([2.5, 3.5], [12.5, 9.5], 6.0);
        let hole = square([4.5, 4.5], [6.5, 7.5], 6.1);
        let even = SlicePositions::even();
        assert_eq!(counts(vec![outer.clone()], &even), [0, 0, 60, 0, 0]);
        assert_eq!(counts(vec![outer, hole], &even), [0, 0, 54, 0, 0]);
    }

    #[test]
    fn contours_go_to_the_nearest_slice_where_it_lies() {
        let contour = || vec![square([0.5, 0.5], [2.5, 2.5], 7.3)];
        assert_eq!(counts(contour(), &SlicePositions::even()), [0, 0, 4, 0, 0]);
        let uneven = SlicePositions::uneven(vec![0.0, 2.0, 3.0, 3.5, 4.0]).expect("ascending");
        assert_eq!(counts(contour(), &uneven), [0, 4, 0, 0, 0]);
    }

    #[test]
    fn of_several_planes_on_one_slice_the_nearest_counts() {
        let near = square([0.5, 0.5], [2.5, 2.5], 6.2);
        let far = square([0.5, 0.5], [9.5, 9.5], 7.2);
        let even = SlicePositions::even();
        assert_eq!(counts(vec![far, near], &even), [0, 0, 4, 0, 0]);
    }

    #[test]
    fn contours_across_slices_are_refused_and_those_beyond_are_told() {
        let mut tilted = square([0.5, 0.5], [2.5, 2.5], 6.0);
        tilted[0].z = 9.0;
        let even = SlicePositions::even();
        let mut warnings = Vec::new();
        let refused = fill(&[roi(vec![tilted])], &grid(), &even, &mut warnings);
        assert_eq!(refused.expect_err("oblique").code(), "region-oblique");
        let beyond = roi(vec![square([0.5, 0.5], [2.5, 2.5], 20.0)]);
        fill(&[beyond], &grid(), &even, &mut warnings).expect("empty");
        assert_eq!(warnings, [Warning::ContoursOutside { count: 1 }]);
    }

    proptest! {
        #[test]
        fn inside_is_what_the_ray_of_each_centre_says(
            corners in prop::collection::vec((-3.0..33.0_f64, -3.0..23.0_f64), 3..12),
        ) {
            let corners: Vec<DVec2> = corners.into_iter().map(DVec2::from).collect();
            let mut plane = vec![0; 20 * 30];
            toggle(&corners, &mut plane, 30);
            for (i, inside) in plane.into_iter().enumerate() {
                let centre = DVec2::new((i % 30) as f64, (i / 30) as f64);
                prop_assert_eq!(inside == 1, ray_crosses_odd(&corners, centre));
            }
        }
    }

    /// Jordan's rule, one point at a time.
    fn ray_crosses_odd(corners: &[DVec2], p: DVec2) -> bool {
        (0..corners.len()).fold(false, |inside, i| {
            let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
            let crosses =
                (a.y > p.y) != (b.y > p.y) && p.x >= (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x;
            inside ^ crosses
        })
    }
}
