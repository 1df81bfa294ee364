//! Branching trees that fill a lung: arteries with the bronchi beside them, and veins.
//!
//! Points spread in the lung are halved again and again; each half pulls one branch towards its middle
//! (volume filling as in Tawhai 2000); radii follow the points served (Murray 1926).

use super::anatomy::{AIR_HU, BLOOD_HU, Chest, MUSCLE_HU};
use super::organs::{HILA, VEIN_HILA, bronchus_entry};
use super::shape::{Form, Shape};
use glam::DVec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One straight piece of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub(super) from: DVec3,
    pub(super) to: DVec3,
    pub(super) radii_mm: [f64; 2],
    /// Direction in which the piece before it arrived.
    arriving: DVec3,
}

impl Branch {
    pub(super) fn form(&self) -> Form {
        self.thicker(0.0)
    }

    fn thicker(&self, extra_mm: f64) -> Form {
        Form::Tube {
            from: self.from,
            to: self.to,
            radii_mm: self.radii_mm.map(|r| r + extra_mm),
        }
    }
}

/// Where a tree enters a lung, and how large it is.
struct Root {
    at: DVec3,
    radius_mm: f64,
    /// Points that the tree serves.
    count: usize,
}

/// Part of the way to its points' middle that a branch covers before it forks, least and most.
const REACH: [f64; 2] = [0.32, 0.5];
/// Radius of a branch that serves n of N points: root radius · (n/N)^MURRAY.
const MURRAY: f64 = 0.36;
/// Vessels end this far from the pleura, mm.
const MARGIN_MM: f64 = 4.0;
/// The thinnest artery that is accompanied by a visible bronchus, mm.
const LAST_BRONCHUS_MM: f64 = 1.7;

/// Vessels and bronchi of both lungs, in drawing order, and the vessels' branches.
pub(super) fn trees(chest: &Chest, rng: &mut ChaCha8Rng) -> (Vec<Shape>, Vec<Branch>) {
    let (mut vessels, mut bronchi) = (Vec::new(), Vec::new());
    let root = |at, radius_mm, count| Root {
        at,
        radius_mm,
        count,
    };
    for side in 0..2 {
        let (artery, vein) = (
            root(HILA[side], 7.8, 4200),
            root(VEIN_HILA[side], 7.0, 3000),
        );
        let arteries = grow(&artery, chest, rng);
        let first = (HILA[side], bronchus_entry(side));
        bronchi.extend(arteries.iter().filter_map(|artery| beside(artery, first)));
        vessels.extend(arteries);
        vessels.extend(grow(&vein, chest, rng));
    }
    let wall_mm = |b: &Branch| 0.35 + 0.2 * b.radii_mm[1];
    let mut shapes: Vec<Shape> = vessels
        .iter()
        .map(|b| Shape::solid(b.form(), BLOOD_HU))
        .collect();
    shapes.extend(
        bronchi
            .iter()
            .map(|b| Shape::solid(b.thicker(wall_mm(b)), MUSCLE_HU - 20.0)),
    );
    shapes.extend(bronchi.iter().map(|b| Shape::solid(b.form(), AIR_HU)));
    (shapes, vessels)
}

/// `count` points spread evenly in the lung of the side (-1 right, 1 left).
fn points_in_lung(chest: &Chest, side: f64, count: usize, rng: &mut ChaCha8Rng) -> Vec<DVec3> {
    let mut points = Vec::with_capacity(count);
    while points.len() < count {
        let p = DVec3::new(
            side * rng.random_range(0.0..140.0),
            rng.random_range(-92.0..82.0),
            rng.random_range(-190.0..108.0),
        );
        if chest.lung_distance(p) < -MARGIN_MM {
            points.push(p);
        }
    }
    points
}

fn grow(root: &Root, chest: &Chest, rng: &mut ChaCha8Rng) -> Vec<Branch> {
    let side = root.at.x.signum();
    let points = points_in_lung(chest, side, root.count, rng);
    let radius = |served: usize| root.radius_mm * (served as f64 / root.count as f64).powf(MURRAY);
    let mut branches = Vec::new();
    let mut open = vec![(root.at, DVec3::X * side, root.radius_mm, points)];
    while let Some((node, heading, thick, points)) = open.pop() {
        for half in halves(points, rng) {
            let middle = mean(&half);
            let reach = match half.len() {
                1 => 0.9,
                _ => rng.random_range(REACH[0]..REACH[1]),
            };
            // Keeps some of the parent's heading, so that trees sweep instead of zigzag.
            let straight = (middle - node) * reach;
            let end = node + straight * 0.85 + heading * straight.length() * 0.15;
            let bend = straight.length() * 0.08;
            let knee = node.midpoint(end)
                + heading * bend
                + DVec3::from_array(std::array::from_fn(|_| rng.random_range(-bend..=bend)));
            let thin = radius(half.len()).min(thick);
            let mut piece = |from: DVec3, to: DVec3, radii_mm, arriving| {
                branches.push(Branch {
                    from,
                    to,
                    radii_mm,
                    arriving,
                });
                (to - from).normalize_or(arriving)
            };
            let start = thick.min(thin * 1.3);
            let turned = piece(node, knee, [start, thin], heading);
            let turned = piece(knee, end, [thin, thin], turned);
            if half.len() > 1 {
                open.push((end, turned, thin, half));
            }
        }
    }
    branches
}

fn mean(points: &[DVec3]) -> DVec3 {
    points.iter().sum::<DVec3>() / points.len().max(1) as f64
}

/// Splits points across the direction of the one farthest from their middle, unevenly; at least one on either side.
fn halves(mut points: Vec<DVec3>, rng: &mut ChaCha8Rng) -> Vec<Vec<DVec3>> {
    let count = points.len();
    if count < 2 {
        return vec![points];
    }
    let middle = mean(&points);
    let apart = |p: &DVec3| p.distance_squared(middle);
    let farthest = points
        .iter()
        .copied()
        .max_by(|a, b| apart(a).total_cmp(&apart(b)));
    let axis = farthest.map_or(DVec3::X, |p| p - middle);
    points.sort_by(|a, b| a.dot(axis).total_cmp(&b.dot(axis)));
    let second = points.split_off(
        rng.random_range(count / 3..=count - count / 3)
            .clamp(1, count - 1),
    );
    vec![points, second]
}

/// The bronchus that runs along an artery, where it is wide enough to be seen.
fn beside(artery: &Branch, (hilum, entry): (DVec3, DVec3)) -> Option<Branch> {
    if artery.radii_mm[1] < LAST_BRONCHUS_MM {
        return None;
    }
    let lumen = artery.radii_mm.map(|r| (0.72 * r).min(5.2));
    let gap = |i: usize| artery.radii_mm[i] + 1.25 * lumen[i] + 0.4;
    let along = (artery.to - artery.from).normalize_or(artery.arriving);
    let aside = |along: DVec3| {
        let back = DVec3::new(0.0, 0.85, -0.5);
        (back - along * back.dot(along)).normalize_or(DVec3::Y)
    };
    let at_root = artery.from.distance_squared(hilum) < 1e-6;
    let from = match at_root {
        true => entry,
        false => artery.from + aside(artery.arriving) * gap(0),
    };
    let to = artery.to + aside(along) * gap(1);
    Some(Branch {
        from,
        to,
        radii_mm: lumen,
        arriving: along,
    })
}
