//! SUVpeak on volumes made by hand, and against a search without any shortcut.

use super::*;
use crate::volume::{Geometry, Rescale, SlicePositions};
use proptest::prelude::*;

const SIZE: [usize; 3] = [9, 10, 11];
const SPACING_MM: [f64; 3] = [3.3, 4.1, 4.1];
/// Stored values are hundredths.
const SLOPE: f32 = 0.01;

fn volume(slices: SlicePositions, value: impl Fn([usize; 3]) -> f64) -> StoredVolume {
    let [nz, ny, nx] = SIZE;
    let all = (0..nz * ny * nx).map(|i| value([i / (ny * nx), i / nx % ny, i % nx]));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "SUV below 600"
    )]
    let samples = all
        .map(|suv| (suv / f64::from(SLOPE)).round() as u16)
        .collect();
    StoredVolume {
        geometry: Geometry::axis_aligned(SIZE, SPACING_MM, DVec3::new(5.0, -7.0, 100.0)),
        slices,
        samples,
        signed: false,
        rescale: vec![
            Rescale {
                slope: SLOPE,
                intercept: 0.0
            };
            nz
        ],
        padding: None,
        padding_value: 0.0,
    }
}

fn block(origin: [usize; 3], size: [usize; 3]) -> LesionMask {
    LesionMask {
        origin,
        size,
        inside: vec![true; size.iter().product()],
    }
}

fn uneven() -> SlicePositions {
    SlicePositions::uneven(vec![0.0, 1.0, 1.8, 3.2, 4.0, 5.1, 6.0, 6.7, 8.0]).expect("ascending")
}

#[test]
fn the_peak_of_even_uptake_is_that_uptake() {
    for slices in [SlicePositions::even(), uneven()] {
        let suv = volume(slices, |_| 3.0);
        let peak = suv_peak(&block([4, 4, 4], [2, 2, 2]), &suv, [4, 4, 4]).expect("inside");
        assert!((peak.suv - 3.0).abs() < 1e-5);
    }
}

#[test]
fn the_peak_of_one_hot_voxel_is_its_share_of_the_ball() {
    let suv = volume(SlicePositions::even(), |voxel| {
        if voxel == [4, 5, 5] { 20.0 } else { 1.0 }
    });
    let peak = suv_peak(&block([4, 5, 5], [1, 1, 1]), &suv, [4, 5, 5]).expect("inside");
    let share = SPACING_MM.iter().product::<f64>() / 1e3;
    assert!(
        (peak.suv - (1.0 + 19.0 * share)).abs() < 1e-4,
        "{}",
        peak.suv
    );
}

#[test]
fn no_peak_is_given_where_every_ball_leaves_the_image() {
    let suv = volume(SlicePositions::even(), |_| 3.0);
    let outside = [
        block([0, 4, 4], [1, 2, 2]),
        block([4, 0, 4], [2, 1, 2]),
        block([4, 4, 10], [2, 2, 1]),
    ];
    for mask in outside {
        assert_eq!(suv_peak(&mask, &suv, mask.origin), None, "{mask:?}");
    }
    // Wide enough for a centre that lies deep enough, though the hottest voxel does not.
    let wide = block([0, 4, 4], [4, 2, 2]);
    let peak = suv_peak(&wide, &suv, [0, 4, 4]).expect("inside");
    let lowest_mm = 100.0 - SPACING_MM[0] / 2.0 + RADIUS_MM;
    assert!(peak.centre_lps_mm.z >= lowest_mm - 1e-6);
}

#[test]
fn voxels_outside_of_the_lesion_count_but_centres_do_not_leave_it() {
    let suv = volume(SlicePositions::even(), |[_, _, x]| x as f64);
    let peak = suv_peak(&block([4, 5, 4], [1, 1, 2]), &suv, [4, 5, 5]).expect("inside");
    let border_mm = 5.0 + 5.5 * SPACING_MM[2];
    assert!(
        (peak.centre_lps_mm.x - border_mm).abs() < 0.02,
        "{}",
        peak.centre_lps_mm
    );
    assert!((peak.suv - 5.5).abs() < 0.01, "{}", peak.suv);
}

/// Every voxel as small cubes: where they are, their size and their value.
fn cubes(suv: &StoredVolume) -> Vec<(DVec3, f64, f64)> {
    const CUBES: usize = 6;
    let boxes = Boxes::new(&suv.geometry, &suv.slices);
    let [nz, ny, nx] = SIZE;
    let part = |i: usize| (i as f64 + 0.5) / CUBES as f64;
    let of_voxel = |voxel: usize| {
        let [z, y, x] = [voxel / (ny * nx), voxel / nx % ny, voxel % nx];
        let ([low, high], value) = (boxes.borders(z), f64::from(suv.rescaled([z, y, x])));
        (0..CUBES * CUBES * CUBES).map(move |cube| {
            let (a, b, c) = (cube / (CUBES * CUBES), cube / CUBES % CUBES, cube % CUBES);
            let index = DVec3::new(
                x as f64 - 0.5 + part(c),
                y as f64 - 0.5 + part(b),
                low + (high - low) * part(a),
            );
            (index, high - low, value)
        })
    };
    let all = (0..nz * ny * nx).flat_map(of_voxel);
    all.map(|(index, size, value)| (suv.geometry.to_lps_mm(index), size, value))
        .collect()
}

/// The mean of the cubes whose centres a ball holds.
fn mean_of(cubes: &[(DVec3, f64, f64)], centre: DVec3) -> f64 {
    let (mut volume, mut sum) = (0.0, 0.0);
    for (cube, size, value) in cubes {
        if cube.distance_squared(centre) <= RADIUS_MM * RADIUS_MM {
            volume += size;
            sum += size * value;
        }
    }
    sum / volume
}

/// Centres about a millimetre apart in the voxels of a lesion.
fn centres(mask: &LesionMask, suv: &StoredVolume) -> Vec<DVec3> {
    let boxes = Boxes::new(&suv.geometry, &suv.slices);
    let at = |i: usize| (i as f64 + 0.5) / 4.0;
    let of_voxel = |[z, y, x]: [usize; 3]| {
        let [low, high] = boxes.borders(z);
        (0..64).map(move |place| {
            DVec3::new(
                x as f64 - 0.5 + at(place % 4),
                y as f64 - 0.5 + at(place / 4 % 4),
                low + (high - low) * at(place / 16),
            )
        })
    };
    let indices = mask.voxels().flat_map(of_voxel);
    indices.map(|index| suv.geometry.to_lps_mm(index)).collect()
}

/// What cubes of a sixth of a voxel are worth.
const TOLERANCE: f64 = 0.015;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn no_centre_has_a_higher_mean_than_the_one_that_is_found(
        values in prop::collection::vec(0.0..10.0_f64, 9 * 10 * 11), is_uneven in any::<bool>(),
    ) {
        let slices = if is_uneven { uneven() } else { SlicePositions::even() };
        let suv = volume(slices, |[z, y, x]| values[(z * 10 + y) * 11 + x]);
        let mask = block([3, 3, 3], [2, 3, 3]);
        let hottest = mask.voxels().max_by(|a, b| suv.rescaled(*a).total_cmp(&suv.rescaled(*b))).expect("voxels");
        let found = suv_peak(&mask, &suv, hottest).expect("inside");
        let cubes = cubes(&suv);
        let there = mean_of(&cubes, found.centre_lps_mm);
        prop_assert!((found.suv / there - 1.0).abs() <= TOLERANCE, "{} {there}", found.suv);
        let means = centres(&mask, &suv).into_iter().map(|centre| mean_of(&cubes, centre));
        let highest = means.fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(found.suv >= highest * (1.0 - TOLERANCE), "{} {highest}", found.suv);
        prop_assert_eq!(Some(found), suv_peak(&mask, &suv, hottest));
    }
}
