//! Head, neck, arms, abdomen, pelvis and thighs as shapes, drawn before the organs of the chest.

use super::super::anatomy::{AIR_HU, BLOOD_HU, FAT_HU, MUSCLE_HU, TrunkEnds};
use super::super::organs::{CANCELLOUS_HU, CORTICAL_HU, PITCH_MM, canal, chain, spine};
use super::super::shape::{Form, Shape};
use glam::{DMat3, DVec3};

/// Where the trunk ends and neck and thighs begin.
pub(super) const ENDS: TrunkEnds = TrunkEnds {
    top_mm: 152.0,
    bottom_mm: -505.0,
};

const BRAIN_HU: f32 = 35.0;
const GLAND_HU: f32 = 30.0;
const KIDNEY_HU: f32 = 32.0;
const BOWEL_HU: f32 = 20.0;
const URINE_HU: f32 = 5.0;
/// Thickness of the fat below the skin of limbs and neck, mm.
const FAT_MM: f64 = 7.0;

/// Organs that PET shows as well: name, centre and semi-axes, mm.
pub(super) const BRAIN: [[f64; 3]; 2] = [[0.0, 8.0, 350.0], [65.0, 83.0, 62.0]];
pub(super) const CEREBELLUM: [[f64; 3]; 2] = [[0.0, 42.0, 296.0], [46.0, 28.0, 22.0]];
pub(super) const PAROTIDS: [[[f64; 3]; 2]; 2] = pair([58.0, 22.0, 262.0], [10.0, 17.0, 22.0]);
pub(super) const SUBMANDIBULARS: [[[f64; 3]; 2]; 2] = pair([30.0, -18.0, 226.0], [9.0, 14.0, 9.0]);
pub(super) const TONSILS: [[[f64; 3]; 2]; 2] = pair([15.0, 2.0, 252.0], [6.0, 7.0, 10.0]);
pub(super) const KIDNEYS: [[[f64; 3]; 2]; 2] = [
    [[-64.0, 44.0, -288.0], [25.0, 23.0, 52.0]],
    [[64.0, 44.0, -250.0], [25.0, 23.0, 52.0]],
];
pub(super) const BLADDER: [[f64; 3]; 2] = [[0.0, -34.0, -452.0], [40.0, 34.0, 30.0]];

/// Points of the large and of the small bowel, `[x, y, z, radius]`.
pub(super) const COLON: [[f64; 4]; 9] = [
    [-98.0, -18.0, -395.0, 20.0],
    [-104.0, -18.0, -330.0, 20.0],
    [-100.0, -34.0, -278.0, 19.0],
    [-40.0, -64.0, -272.0, 17.0],
    [30.0, -62.0, -262.0, 17.0],
    [94.0, -20.0, -236.0, 16.0],
    [106.0, 4.0, -300.0, 14.0],
    [104.0, -4.0, -370.0, 13.0],
    [62.0, -4.0, -410.0, 13.0],
];
pub(super) const SMALL_BOWEL: [[f64; 4]; 6] = [
    [-44.0, -40.0, -318.0, 13.0],
    [26.0, -44.0, -312.0, 13.0],
    [44.0, -36.0, -340.0, 13.0],
    [-30.0, -44.0, -352.0, 13.0],
    [-40.0, -34.0, -384.0, 13.0],
    [34.0, -40.0, -380.0, 13.0],
];

const fn pair([x, y, z]: [f64; 3], semi: [f64; 3]) -> [[[f64; 3]; 2]; 2] {
    [[[-x, y, z], semi], [[x, y, z], semi]]
}

/// Where an arm bends, on the side given.
pub(super) fn elbow(side: f64) -> DVec3 {
    DVec3::new(side * 198.0, -8.0, 372.0)
}

/// An ellipsoid along the patient's axes.
pub(super) fn ellipsoid([centre, semi]: [[f64; 3]; 2]) -> Form {
    Form::Ellipsoid {
        centre: centre.into(),
        axes: DMat3::IDENTITY,
        semi_mm: semi.into(),
    }
}

/// All of it, in drawing order.
pub(super) fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    neck_and_head(&mut shapes);
    for side in [-1.0, 1.0] {
        limb(
            &[DVec3::new(side * 160.0, 8.0, 132.0), elbow(side)],
            [46.0, 38.0],
            &mut shapes,
        );
        let hip = DVec3::new(side * 92.0, 2.0, -512.0);
        limb(
            &[hip, DVec3::new(side * 84.0, 0.0, -680.0)],
            [84.0, 70.0],
            &mut shapes,
        );
    }
    abdomen(&mut shapes);
    pelvis(&mut shapes);
    shapes
}

fn neck_and_head(shapes: &mut Vec<Shape>) {
    let mut put = |form: Form, hu| shapes.push(Shape::solid(form, hu));
    let neck = |semi: [f64; 3]| Form::Cylinder {
        centre: DVec3::new(0.0, 40.0, 180.0),
        semi_mm: semi.into(),
    };
    put(neck([62.0, 62.0, 44.0]), FAT_HU);
    put(neck([55.0, 55.0, 44.0]), MUSCLE_HU);
    put(
        ellipsoid([[0.0, 6.0, 322.0], [80.0, 103.0, 110.0]]),
        MUSCLE_HU - 30.0,
    );
    put(
        ellipsoid([[0.0, 8.0, 340.0], [75.0, 95.0, 82.0]]),
        CORTICAL_HU + 240.0,
    );
    put(
        ellipsoid([[0.0, 8.0, 340.0], [69.0, 89.0, 76.0]]),
        BRAIN_HU - 25.0,
    );
    put(ellipsoid(BRAIN), BRAIN_HU);
    put(ellipsoid(CEREBELLUM), BRAIN_HU);
    for gland in [PAROTIDS, SUBMANDIBULARS, TONSILS].concat() {
        put(ellipsoid(gland), GLAND_HU);
    }
    let at = |y: f64, z: f64| DVec3::new(0.0, y, z);
    put(Form::tube(at(6.0, 148.0), at(2.0, 262.0), 8.0), AIR_HU);
    spine(8..=10, shapes);
    canal([190.0, 275.0], shapes);
}

/// Skin and fat, muscle, cortex and marrow around a line.
fn limb([from, to]: &[DVec3; 2], radii_mm: [f64; 2], shapes: &mut Vec<Shape>) {
    let bone_mm = radii_mm[0] * 0.2 + 3.0;
    let round = |radii_mm: [f64; 2]| Form::Tube {
        from: *from,
        to: *to,
        radii_mm,
    };
    let layers = [
        (radii_mm, FAT_HU),
        (radii_mm.map(|r| r - FAT_MM), MUSCLE_HU),
        ([bone_mm; 2], CORTICAL_HU),
        ([bone_mm - 3.5; 2], CANCELLOUS_HU),
    ];
    for (radii_mm, hu) in layers {
        shapes.push(Shape::solid(round(radii_mm), hu));
    }
}

fn abdomen(shapes: &mut Vec<Shape>) {
    for side in [-1.0, 1.0] {
        let psoas = [
            [side * 34.0, 50.0, -218.0, 12.0],
            [side * 46.0, 40.0, -340.0, 20.0],
            [side * 78.0, -6.0, -470.0, 16.0],
        ];
        chain(&psoas, MUSCLE_HU, shapes);
    }
    for kidney in KIDNEYS {
        shapes.push(Shape::solid(ellipsoid(kidney), KIDNEY_HU));
    }
    chain(&COLON, BOWEL_HU, shapes);
    chain(&SMALL_BOWEL, BOWEL_HU, shapes);
    chain(
        &[[11.0, 44.0, -214.0, 10.5], [4.0, 40.0, -335.0, 9.0]],
        BLOOD_HU,
        shapes,
    );
    chain(
        &[[-20.0, 13.0, -216.0, 12.0], [-14.0, 40.0, -335.0, 11.0]],
        BLOOD_HU,
        shapes,
    );
    for side in [-1.0, 1.0] {
        let iliac = [
            [0.0, 40.0, -335.0, 7.5],
            [side * 42.0, 14.0, -420.0, 6.5],
            [side * 62.0, -46.0, -500.0, 6.0],
        ];
        chain(&iliac, BLOOD_HU, shapes);
    }
    spine(-18..=-11, shapes);
    canal([-18.0 * PITCH_MM, -280.0], shapes);
}

fn pelvis(shapes: &mut Vec<Shape>) {
    for side in [-1.0, 1.0] {
        for (shrink_mm, hu) in [(0.0, CORTICAL_HU), (2.0, CANCELLOUS_HU)] {
            let wing = Form::Ellipsoid {
                centre: DVec3::new(side * 88.0, 26.0, -398.0),
                axes: DMat3::from_rotation_z(side * 0.6),
                semi_mm: DVec3::new(9.0, 58.0, 58.0) - shrink_mm,
            };
            shapes.push(Shape::solid(wing, hu));
            let seat = DVec3::new(side * 78.0, 30.0, -440.0);
            let socket = DVec3::new(side * 86.0, 2.0, -476.0);
            shapes.push(Shape::solid(Form::tube(seat, socket, 16.0 - shrink_mm), hu));
            shapes.push(Shape::solid(Form::ball(socket, 25.0 - shrink_mm), hu));
        }
    }
    shapes.push(Shape::solid(ellipsoid(BLADDER), URINE_HU));
}
