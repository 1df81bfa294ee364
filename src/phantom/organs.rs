//! Bones, great vessels, trachea and oesophagus as shapes, in drawing order.

use super::anatomy::{AIR_HU, BLOOD_HU, Chest, Heart, MUSCLE_HU};
use super::shape::{Form, Shape};
use glam::{DMat3, DVec3};
use std::ops::RangeInclusive;

pub(super) const CORTICAL_HU: f32 = 560.0;
pub(super) const CANCELLOUS_HU: f32 = 190.0;
const CARTILAGE_HU: f32 = 110.0;
const DISC_HU: f32 = 80.0;
const CORD_HU: f32 = 28.0;
const CORTEX_MM: f64 = 1.4;
const AIRWAY_WALL_MM: f64 = 1.6;

/// Height of a vertebra and its disc.
pub(super) const PITCH_MM: f64 = 24.0;

/// Where trachea and main bronchi meet.
const CARINA: DVec3 = DVec3::new(0.0, 14.0, 0.0);
/// Where arteries and bronchi enter the right and the left lung.
pub(super) const HILA: [DVec3; 2] = [DVec3::new(-36.0, 6.0, -14.0), DVec3::new(38.0, 8.0, -6.0)];
/// Where the veins enter the left atrium from either side.
pub(super) const VEIN_HILA: [DVec3; 2] =
    [DVec3::new(-32.0, 6.0, -32.0), DVec3::new(36.0, 10.0, -26.0)];

/// All organs but the trees within the lungs.
pub(super) fn organs(chest: &Chest) -> Vec<Shape> {
    let mut shapes = Vec::new();
    circulation(chest, &mut shapes);
    airway_and_gullet(&mut shapes);
    spine(-10..=7, &mut shapes);
    canal([-300.0, 200.0], &mut shapes);
    for right in [true, false] {
        ribs(chest, right, &mut shapes);
        shoulder(right, &mut shapes);
    }
    sternum(chest, &mut shapes);
    shapes
}

/// A chain of tubes through `points`, each `[x, y, z, radius_mm]`.
pub(super) fn chain(points: &[[f64; 4]], hu: f32, shapes: &mut Vec<Shape>) {
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        let form = Form::Tube {
            from: DVec3::new(a[0], a[1], a[2]),
            to: DVec3::new(b[0], b[1], b[2]),
            radii_mm: [a[3], b[3]],
        };
        shapes.push(Shape::solid(form, hu));
    }
}

/// Heart and great vessels.
pub(super) fn circulation(chest: &Chest, shapes: &mut Vec<Shape>) {
    let Heart { centre, semi_mm } = *chest.heart();
    let axes = Heart::axes();
    let muscle = Form::Ellipsoid {
        centre,
        axes,
        semi_mm,
    };
    shapes.push(Shape::solid(muscle, BLOOD_HU + 4.0));
    let atrium = Form::Ellipsoid {
        centre: DVec3::new(2.0, 10.0, -36.0),
        axes: DMat3::IDENTITY,
        semi_mm: DVec3::new(32.0, 16.0, 20.0),
    };
    shapes.push(Shape::solid(atrium, BLOOD_HU));
    let aorta = [
        [2.0, -22.0, -45.0, 15.0],
        [-10.0, -26.0, -12.0, 15.0],
        [-8.0, -20.0, 12.0, 14.5],
        [4.0, -6.0, 26.0, 13.5],
        [16.0, 14.0, 29.0, 13.0],
        [24.0, 34.0, 20.0, 12.5],
        [25.0, 44.0, 0.0, 12.0],
        [24.0, 46.0, -90.0, 11.5],
        [12.0, 44.0, -200.0, 11.0],
    ];
    chain(&aorta, BLOOD_HU, shapes);
    let trunk = [
        [18.0, -32.0, -40.0, 14.0],
        [20.0, -20.0, -14.0, 13.5],
        [22.0, -4.0, -4.0, 12.0],
    ];
    chain(&trunk, BLOOD_HU, shapes);
    let [right, left] = HILA.map(|h| [h.x, h.y, h.z, 8.5]);
    chain(
        &[
            [20.0, -14.0, -12.0, 11.5],
            [-12.0, -4.0, -14.0, 10.5],
            right,
        ],
        BLOOD_HU,
        shapes,
    );
    chain(&[[22.0, -4.0, -4.0, 11.5], left], BLOOD_HU, shapes);
    for hilum in VEIN_HILA {
        let atrium = [hilum.x * 0.4, 10.0, -36.0, 9.0];
        chain(
            &[atrium, [hilum.x, hilum.y, hilum.z, 7.5]],
            BLOOD_HU,
            shapes,
        );
    }
    let caval = [
        [-24.0, -12.0, 40.0, 8.5],
        [-26.0, -14.0, 0.0, 9.5],
        [-24.0, -12.0, -40.0, 11.0],
    ];
    chain(&caval, BLOOD_HU, shapes);
    chain(
        &[[-22.0, -2.0, -90.0, 12.0], [-20.0, 10.0, -200.0, 12.0]],
        BLOOD_HU,
        shapes,
    );
    let neck = [
        [[-24.0, -12.0, 40.0, 7.5], [-34.0, -20.0, 110.0, 7.0]],
        [[-24.0, -14.0, 42.0, 7.0], [34.0, -18.0, 108.0, 7.0]],
        [[-4.0, -10.0, 30.0, 6.5], [-22.0, -4.0, 120.0, 5.5]],
        [[6.0, -2.0, 32.0, 4.5], [20.0, -2.0, 120.0, 4.5]],
        [[16.0, 10.0, 32.0, 5.5], [34.0, 6.0, 110.0, 5.5]],
    ];
    neck.iter()
        .for_each(|vessel| chain(vessel, BLOOD_HU, shapes));
}

fn airway_and_gullet(shapes: &mut Vec<Shape>) {
    let gullet = [
        [2.0, 36.0, 140.0, 7.0],
        [6.0, 38.0, 0.0, 7.5],
        [14.0, 30.0, -200.0, 8.0],
    ];
    chain(&gullet, MUSCLE_HU - 12.0, shapes);
    let trachea = [[0.0, 6.0, 150.0, 8.5], [CARINA.x, CARINA.y, CARINA.z, 8.5]];
    let [right, left] = [main_bronchus(0), main_bronchus(1)];
    let airways = [&trachea[..], &right[..], &left[..]];
    let walls = airways.map(|points| {
        points
            .iter()
            .map(|p| [p[0], p[1], p[2], p[3] + AIRWAY_WALL_MM])
            .collect::<Vec<_>>()
    });
    walls
        .iter()
        .for_each(|points| chain(points, MUSCLE_HU - 10.0, shapes));
    airways
        .iter()
        .for_each(|points| chain(points, AIR_HU, shapes));
}

/// From the carina to behind the artery at the hilum.
fn main_bronchus(side: usize) -> [[f64; 4]; 2] {
    let end = bronchus_entry(side);
    let radius = [7.0, 6.0][side];
    [
        [CARINA.x, CARINA.y, CARINA.z, radius + 0.5],
        [end.x, end.y, end.z, radius - 0.5],
    ]
}

/// Where the bronchi of the right (0) and left (1) lung begin to branch.
pub(super) fn bronchus_entry(side: usize) -> DVec3 {
    HILA[side] + DVec3::new(0.0, 13.0, -2.0)
}

/// Vertebrae, counted upwards from the one behind the carina.
pub(super) fn spine(levels: RangeInclusive<i32>, shapes: &mut Vec<Shape>) {
    let at = |y: f64, z: f64| DVec3::new(0.0, y, z);
    for level in levels {
        let z = f64::from(level) * PITCH_MM;
        let mut block = |y, semi: [f64; 3], dz, hu| {
            let (centre, semi_mm) = (at(y, z + dz), semi.into());
            shapes.push(Shape::solid(Form::Cylinder { centre, semi_mm }, hu));
        };
        block(62.0, [17.0, 15.0, 3.5], PITCH_MM / 2.0, DISC_HU);
        block(62.0, [18.0, 15.5, 9.0], 0.0, CORTICAL_HU - 140.0);
        block(62.0, [16.6, 14.1, 7.8], 0.0, CANCELLOUS_HU);
        block(84.0, [14.0, 11.0, 9.0], 0.0, CORTICAL_HU - 60.0);
        let process = Form::tube(at(92.0, z - 2.0), at(101.0, z - 16.0), 3.2);
        shapes.push(Shape::solid(process, CORTICAL_HU - 160.0));
        for side in [-1.0, 1.0] {
            let root = DVec3::new(side * 12.0, 82.0, z + 2.0);
            let tip = DVec3::new(side * 34.0, 90.0, z + 4.0);
            shapes.push(Shape::solid(Form::tube(root, tip, 4.6), CORTICAL_HU - 60.0));
            shapes.push(Shape::solid(Form::tube(root, tip, 3.0), CANCELLOUS_HU));
        }
    }
}

/// The spinal cord from one height to another.
pub(super) fn canal(ends_mm: [f64; 2], shapes: &mut Vec<Shape>) {
    let [from, to] = ends_mm.map(|z| DVec3::new(0.0, 83.0, z));
    shapes.push(Shape::solid(Form::tube(from, to, 8.0), CORD_HU));
}

fn ribs(chest: &Chest, right: bool, shapes: &mut Vec<Shape>) {
    const COUNT: u32 = 12;
    const STEPS: u32 = 28;
    const BONE_END: f64 = 2.35;
    for rib in 0..COUNT {
        let back_z = 96.0 - 21.5 * f64::from(rib);
        let fall_mm = if rib == 0 { 22.0 } else { 58.0 };
        let end: f64 = match rib {
            0..=6 => 2.85,
            7..=9 => 2.5,
            _ => 1.3,
        };
        let place = |step: u32| {
            let angle = 0.32 + (end - 0.32) * f64::from(step) / f64::from(STEPS);
            let z = back_z - fall_mm * (1.0 - angle.cos()) / 2.0;
            (angle, chest.wall_point(right, angle, z, 6.5))
        };
        let tubes: Vec<_> = (0..STEPS)
            .map(|s| (place(s).0, place(s).1, place(s + 1).1))
            .collect();
        for &(angle, from, to) in &tubes {
            let hu = if angle < BONE_END {
                CORTICAL_HU
            } else {
                CARTILAGE_HU
            };
            for dz in [-2.0, 2.0] {
                let lift = DVec3::Z * dz;
                shapes.push(Shape::solid(Form::tube(from + lift, to + lift, 4.6), hu));
            }
        }
        for &(_, from, to) in tubes.iter().filter(|t| t.0 < BONE_END) {
            for dz in [-2.0, 2.0] {
                let lift = DVec3::Z * dz;
                let marrow = Form::tube(from + lift, to + lift, 4.6 - CORTEX_MM);
                shapes.push(Shape::solid(marrow, CANCELLOUS_HU));
            }
        }
    }
}

fn sternum(chest: &Chest, shapes: &mut Vec<Shape>) {
    for (shrink, hu) in [
        (0.0, CORTICAL_HU - 180.0),
        (CORTEX_MM, CANCELLOUS_HU - 60.0),
    ] {
        for step in 0..14 {
            let z = -64.0 + 10.0 * f64::from(step);
            let centre = DVec3::new(0.0, 13.5 - chest.body_half_depth_mm(z), z);
            let width = if z > 40.0 { 25.0 } else { 16.0 };
            let semi_mm = DVec3::new(width, 5.6, 12.0) - shrink;
            let axes = DMat3::IDENTITY;
            shapes.push(Shape::solid(
                Form::Ellipsoid {
                    centre,
                    axes,
                    semi_mm,
                },
                hu,
            ));
        }
    }
}

fn shoulder(right: bool, shapes: &mut Vec<Shape>) {
    let side = if right { -1.0 } else { 1.0 };
    let at = |x: f64, y, z| DVec3::new(side * x, y, z);
    for (shrink, hu) in [(0.0, CORTICAL_HU - 60.0), (0.9, CANCELLOUS_HU)] {
        let blade = Form::Ellipsoid {
            centre: at(112.0, 60.0, 62.0),
            axes: DMat3::from_rotation_z(side * -0.75),
            semi_mm: DVec3::new(34.0, 3.4, 58.0) - shrink,
        };
        shapes.push(Shape::solid(blade, hu));
        let clavicle = Form::tube(at(20.0, -74.0, 92.0), at(120.0, -34.0, 118.0), 6.0 - shrink);
        shapes.push(Shape::solid(clavicle, hu));
        let neck = Form::tube(at(126.0, 46.0, 104.0), at(148.0, 10.0, 116.0), 8.5 - shrink);
        shapes.push(Shape::solid(neck, hu));
    }
}
