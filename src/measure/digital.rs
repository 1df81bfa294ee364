//! Volume and axes of digital ellipsoids at any rotation, against the ellipsoids that they were made of.

use super::measure_shape;
use crate::lesion::LesionMask;
use crate::volume::{Geometry, PADDING_HU, Rescale, SlicePositions, StoredVolume};
use glam::{DMat2, DMat3, DQuat, DVec2, DVec3};
use proptest::prelude::*;

/// An ellipsoid on a grid: a voxel belongs to it if its centre does.
#[derive(Debug)]
struct Digital {
    semi_mm: DVec3,
    rotation: DQuat,
    spacing_mm: [f64; 3],
    /// Off a voxel's centre, as fractions of a voxel.
    off: DVec3,
}

impl Digital {
    /// `p` is inside where `p · shape p` is at most 1.
    fn shape(&self) -> DMat3 {
        let turn = DMat3::from_quat(self.rotation);
        let square = self.semi_mm * self.semi_mm;
        turn * DMat3::from_diagonal(square.recip()) * turn.transpose()
    }

    fn volume_mm3(&self) -> f64 {
        4.0 / 3.0 * std::f64::consts::PI * self.semi_mm.element_product()
    }

    fn mask(&self) -> LesionMask {
        let (shape, [sz, sy, sx]) = (self.shape(), self.spacing_mm);
        let reach_mm = self.semi_mm.max_element();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "tens of voxels"
        )]
        let half = self.spacing_mm.map(|s| (reach_mm / s) as usize + 2);
        let size = half.map(|n| 2 * n + 1);
        let [nz, ny, nx] = size;
        let inside = (0..nz * ny * nx).map(|i| {
            let [z, y, x] = [i / (ny * nx), i / nx % ny, i % nx];
            let at = |i: usize, half: usize, off: f64| i as f64 - half as f64 - off;
            let p = DVec3::new(
                at(x, half[2], self.off.x) * sx,
                at(y, half[1], self.off.y) * sy,
                at(z, half[0], self.off.z) * sz,
            );
            p.dot(shape * p) <= 1.0
        });
        LesionMask {
            origin: [0; 3],
            size,
            inside: inside.collect(),
        }
    }

    fn measured(&self) -> super::Measurement {
        let mask = self.mask();
        let size = mask.size;
        let stored = StoredVolume {
            geometry: Geometry::axis_aligned(size, self.spacing_mm, DVec3::ZERO),
            slices: SlicePositions::even(),
            samples: Vec::new().into(),
            signed: false,
            rescale: vec![
                Rescale {
                    slope: 1.0,
                    intercept: 0.0
                };
                size[0]
            ],
            padding: None,
            padding_value: PADDING_HU,
        };
        measure_shape(&mask, &stored, |_| None).expect("voxels")
    }

    /// Diameters of the widest cut parallel to the slices, through the centre: the longer one first.
    fn axes_mm(&self) -> [f64; 2] {
        let shape = self.shape();
        let [x, y] = [shape.x_axis, shape.y_axis];
        let cut = DMat2::from_cols(DVec2::new(x.x, x.y), DVec2::new(y.x, y.y));
        let half = f64::midpoint(cut.x_axis.x, cut.y_axis.y);
        let off = (half * half - cut.determinant()).max(0.0).sqrt();
        [half - off, half + off].map(|eigenvalue| 2.0 / eigenvalue.sqrt())
    }
}

/// Semi-axes of which the smallest diameter spans `voxels` of the largest edge, at any rotation and place.
fn ellipsoid(voxels: std::ops::Range<f64>) -> impl Strategy<Value = Digital> {
    let spacing = [1.0..4.0_f64, 1.0..2.5_f64];
    let turn = [-1.0..1.0_f64, -1.0..1.0_f64, -1.0..1.0_f64, 0.1..1.0_f64];
    let off = [-0.5..0.5_f64, -0.5..0.5_f64, -0.5..0.5_f64];
    (spacing, turn, off, voxels, 1.0..2.0_f64, 1.0..2.0_f64).prop_map(
        |([sz, sy], [a, b, c, d], off, voxels, second, third)| {
            let smallest_mm = voxels * sz.max(sy) / 2.0;
            Digital {
                semi_mm: smallest_mm * DVec3::new(1.0, second, third),
                rotation: DQuat::from_xyzw(a, b, c, d).normalize(),
                spacing_mm: [sz, sy, sy],
                off: off.into(),
            }
        },
    )
}

/// Where the smallest diameter spans twelve voxels.
const VOLUME_TOLERANCE: f64 = 0.03;
/// Where it spans five: counted voxels cannot do better, and a ball whose surface passes many centres at once is the worst.
const SMALL_TOLERANCE: f64 = 0.25;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_volume_of_an_ellipsoid_of_twelve_voxels_is_right_within_three_percent(digital in ellipsoid(12.0..16.0)) {
        let ratio = digital.measured().volume_mm3 / digital.volume_mm3();
        prop_assert!((ratio - 1.0).abs() <= VOLUME_TOLERANCE, "{ratio}");
    }

    #[test]
    fn the_volume_of_an_ellipsoid_of_five_voxels_is_right_within_the_documented_bound(digital in ellipsoid(5.0..12.0)) {
        let ratio = digital.measured().volume_mm3 / digital.volume_mm3();
        prop_assert!((ratio - 1.0).abs() <= SMALL_TOLERANCE, "{ratio}");
    }

    #[test]
    fn the_axes_of_an_ellipsoid_are_right_within_a_voxel_diagonal(digital in ellipsoid(5.0..12.0)) {
        let found = digital.measured();
        let [long, short] = digital.axes_mm();
        let diagonal_mm = digital.spacing_mm.map(|s| s * s).iter().sum::<f64>().sqrt();
        let off = [found.long_axis.length_mm - long, found.short_axis.length_mm - short];
        prop_assert!(off.iter().all(|off| off.abs() <= diagonal_mm), "{off:?} {diagonal_mm}");
    }
}

#[test]
fn the_volume_of_small_balls_is_right_on_average() {
    const STEPS: usize = 8;
    let at = |i: usize| (i as f64 + 0.5) / STEPS as f64;
    for diameter in [5.0, 8.0] {
        let ratio = |i: usize| {
            let off = DVec3::new(at(i % STEPS), at(i / STEPS % STEPS), at(i / STEPS / STEPS));
            let ball = Digital {
                semi_mm: DVec3::splat(diameter / 2.0),
                rotation: DQuat::IDENTITY,
                spacing_mm: [1.0; 3],
                off,
            };
            ball.measured().volume_mm3 / ball.volume_mm3()
        };
        let count = STEPS * STEPS * STEPS;
        let mean = (0..count).map(ratio).sum::<f64>() / count as f64;
        assert!((mean - 1.0).abs() < 0.01, "{diameter} voxels: {mean}");
    }
}
