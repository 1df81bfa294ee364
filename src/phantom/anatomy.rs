//! Soft tissue of the chest: body outline, wall, mediastinum, abdomen and the two lungs, as functions of the place.
//!
//! Anatomy coordinates are LPS mm with the carina near the origin, before [`super::Params::chest_scale`].

use super::noise::texture;
use super::params::Detail;
use super::shape::{ellipsoid_distance, ramp};
use glam::DVec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// HU of water-equivalent tissues in an unenhanced scan.
pub(super) const AIR_HU: f32 = -1000.0;
pub(super) const MUSCLE_HU: f32 = 50.0;
pub(super) const BLOOD_HU: f32 = 42.0;
pub(super) const FAT_HU: f32 = -100.0;
const SKIN_HU: f32 = 20.0;
const LIVER_HU: f32 = 58.0;
const SPLEEN_HU: f32 = 48.0;
const STOMACH_HU: f32 = 15.0;
const LUNG_HU: f32 = -862.0;
const TABLE_SHELL_HU: f32 = -150.0;
const TABLE_FOAM_HU: f32 = -960.0;

const SKIN_MM: f64 = 1.8;
const PLEURA_MM: f64 = 2.0;
const DIAPHRAGM_MM: f64 = 3.0;

/// Centre and semi-axes of the abdominal organs, mm; what of them lies above the diaphragm or in the wall is not there.
pub(super) const LIVER: [[f64; 3]; 2] = [[-78.0, 0.0, -150.0], [122.0, 84.0, 104.0]];
pub(super) const SPLEEN: [[f64; 3]; 2] = [[100.0, 38.0, -140.0], [30.0, 42.0, 44.0]];
pub(super) const STOMACH: [[f64; 3]; 2] = [[62.0, -20.0, -128.0], [46.0, 42.0, 40.0]];

/// Height of the lungs' tops above the carina, mm.
const APEX_MM: f64 = 108.0;

/// The chest of one seed.
pub(super) struct Chest {
    detail: Detail,
    texture_seed: u32,
    /// Half width of the thoracic cavity, mm.
    cavity_mm: f64,
    /// Thickness of the subcutaneous fat, mm.
    fat_mm: f64,
    /// Height of the right and left diaphragm dome, mm.
    domes_mm: [f64; 2],
    heart: Heart,
}

/// The heart with its fat, and where it lies.
pub(super) struct Heart {
    pub(super) centre: DVec3,
    pub(super) semi_mm: DVec3,
}

impl Heart {
    /// The long axis points to the left, front and down.
    pub(super) fn axes() -> glam::DMat3 {
        let long = DVec3::new(0.74, -0.45, -0.50).normalize();
        let short = DVec3::Z.cross(long).normalize();
        glam::DMat3::from_cols(long, short, long.cross(short))
    }

    fn distance(&self, p: DVec3) -> f64 {
        ellipsoid_distance(Self::axes().transpose() * (p - self.centre), self.semi_mm)
    }
}

/// Cross-section of the body or the cavity: a rounded box, doubled for the cavity's two tops.
struct Section {
    centre_x_mm: f64,
    centre_y_mm: f64,
    half_mm: [f64; 2],
}

impl Section {
    /// Distance to the outline within the section, mm, negative inside; right along rays from the middle.
    fn distance(&self, p: DVec3) -> f64 {
        let q = [p.x.abs() - self.centre_x_mm, p.y - self.centre_y_mm];
        let q = [if self.centre_x_mm > 0.0 { q[0] } else { p.x }, q[1]];
        let scale = rounded_box(q[0] / self.half_mm[0], q[1] / self.half_mm[1]);
        if scale < 1e-6 {
            return -self.half_mm[0].min(self.half_mm[1]);
        }
        (1.0 - 1.0 / scale) * q[0].hypot(q[1])
    }
}

/// Between an ellipse and a box: 1 on the outline, homogeneous.
fn rounded_box(u: f64, v: f64) -> f64 {
    let (u, v) = (u * u, v * v);
    0.5 * ((u + v).sqrt() + (u * u + v * v).sqrt().sqrt())
}

fn smoothstep(from: f64, to: f64, x: f64) -> f64 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Maximum with a rounded edge of about `round_mm`.
fn smooth_max(a: f64, b: f64, round_mm: f64) -> f64 {
    let h = (round_mm - (a - b).abs()).max(0.0);
    a.max(b) + h * h / (4.0 * round_mm)
}

fn lerp(from: f32, to: f32, part: f64) -> f32 {
    from + (to - from) * part as f32
}

impl Chest {
    pub(super) fn new(detail: Detail, rng: &mut ChaCha8Rng) -> Self {
        let mut vary = |middle: f64, range: f64| middle + rng.random_range(-range..range);
        Self {
            detail,
            cavity_mm: vary(132.0, 4.0),
            fat_mm: vary(9.0, 3.0),
            domes_mm: [vary(-74.0, 5.0), vary(-88.0, 5.0)],
            heart: Heart {
                centre: DVec3::new(vary(20.0, 3.0), -28.0, vary(-62.0, 3.0)),
                semi_mm: DVec3::new(vary(62.0, 3.0), vary(43.0, 2.0), vary(43.0, 2.0)),
            },
            texture_seed: rng.random(),
        }
    }

    pub(super) fn heart(&self) -> &Heart {
        &self.heart
    }

    /// Half depth of the body at a height, mm.
    pub(super) fn body_half_depth_mm(&self, z: f64) -> f64 {
        101.0 + self.fat_mm - 20.0 * smoothstep(30.0, 115.0, z)
    }

    fn body(&self, z: f64) -> Section {
        let half_width = self.cavity_mm + 18.0 + self.fat_mm + 18.0 * smoothstep(50.0, 120.0, z);
        Section {
            centre_x_mm: 0.0,
            centre_y_mm: 0.0,
            half_mm: [half_width, self.body_half_depth_mm(z)],
        }
    }

    /// The thoracic cavity within the ribs; above the carina it closes to one top a side.
    fn cavity(&self, z: f64) -> Section {
        let rise = (z / APEX_MM).clamp(0.0, 1.0);
        let arch = 1.0 - ((z - 35.0) / (APEX_MM - 35.0)).clamp(0.0, 1.0).powi(2);
        let close = arch.sqrt().max(0.02);
        let half_width = self.cavity_mm + 4.0 * smoothstep(20.0, -90.0, z);
        Section {
            centre_x_mm: 46.0 * rise,
            centre_y_mm: -6.0 + 20.0 * rise,
            half_mm: [
                (half_width * (1.0 - rise) + 44.0 * rise) * close,
                (82.0 * (1.0 - rise) + 48.0 * rise) * close,
            ],
        }
    }

    /// A place `offset_mm` outside the cavity at an angle from the back (0) over the side to the front (π).
    pub(super) fn wall_point(&self, right: bool, angle: f64, z: f64, offset_mm: f64) -> DVec3 {
        let section = self.cavity(z.min(APEX_MM - 16.0));
        let (sin, cos) = angle.sin_cos();
        let [a, b] = section.half_mm;
        let reach = 1.0 / rounded_box(sin / a, cos / b) + offset_mm;
        let x = section.centre_x_mm * sin + reach * sin;
        DVec3::new(
            if right { -x } else { x },
            section.centre_y_mm + reach * cos,
            z,
        )
    }

    /// Depth below the diaphragm, mm, negative above it.
    fn below_diaphragm(&self, p: DVec3) -> f64 {
        let (middle_x, dome) = match p.x < 0.0 {
            true => (-72.0, self.domes_mm[0]),
            false => (72.0, self.domes_mm[1]),
        };
        let q = [p.x - middle_x, p.y + 12.0];
        let lateral = (q[0] > 0.0) == (middle_x > 0.0);
        let drop = [
            if lateral { 120.0 } else { 30.0 },
            if q[1] > 0.0 { 105.0 } else { 62.0 },
        ];
        let (u, v) = (q[0] / 95.0, q[1] / 85.0);
        let height = dome - drop[0] * u * u - drop[1] * v * v;
        let slope = [2.0 * drop[0] * u / 95.0, 2.0 * drop[1] * v / 85.0];
        (height - p.z) / (1.0 + slope[0] * slope[0] + slope[1] * slope[1]).sqrt()
    }

    /// Distance to what lies between the lungs, mm, negative inside.
    fn mediastinum(&self, p: DVec3) -> f64 {
        let column = |x: f64, y: f64, semi_x: f64, semi_y: f64| {
            let q = DVec3::new(p.x - x, p.y - y, 0.0);
            ellipsoid_distance(q, DVec3::new(semi_x, semi_y, 1.0))
        };
        let low = smoothstep(-80.0, -120.0, p.z);
        let high = smoothstep(0.0, 85.0, p.z);
        let upper = column(1.0, -2.0, 36.0 - 6.0 * high, 52.0 - 6.0 * high);
        let upper = smooth_max(upper, -28.0 - p.z, 12.0);
        let lower = column(8.0, 8.0, 34.0 + 10.0 * low, 60.0);
        let lower = smooth_max(lower, p.z + 84.0, 14.0);
        let spine = column(0.0, 62.0, 23.0, 25.0);
        let aorta = smooth_max(column(25.0, 45.0, 16.0, 16.0), p.z - 28.0, 8.0);
        let sheet = (p.x - 4.0).abs() - 4.5;
        let hilum = |x: f64, z: f64| {
            ellipsoid_distance(p - DVec3::new(x, 8.0, z), DVec3::new(17.0, 16.0, 24.0))
        };
        let heart = self.heart.distance(p) - 5.0;
        let parts = [
            upper,
            lower,
            spine,
            aorta,
            sheet,
            hilum(-34.0, -14.0),
            hilum(36.0, -8.0),
        ];
        parts
            .into_iter()
            .fold(heart, |a, b| -smooth_max(-a, -b, 5.0))
    }

    /// Distance to the pleura, mm, negative inside a lung.
    pub(super) fn lung_distance(&self, p: DVec3) -> f64 {
        let cavity = self.cavity_distance(p);
        if cavity > 20.0 {
            return cavity;
        }
        self.lung_within(p, cavity, self.below_diaphragm(p))
    }

    fn lung_within(&self, p: DVec3, cavity: f64, below: f64) -> f64 {
        let outer = smooth_max(cavity + PLEURA_MM, below, 5.0);
        smooth_max(outer, -self.mediastinum(p), 5.0)
    }

    fn cavity_distance(&self, p: DVec3) -> f64 {
        self.cavity(p.z).distance(p).max(p.z - APEX_MM)
    }

    /// Distance to the part of the pleura that faces the mediastinum, mm; large where the lung's wall is the rib cage.
    pub(super) fn mediastinal_distance(&self, p: DVec3) -> f64 {
        self.mediastinum(p)
    }

    /// Outward normal of the pleura at or near `p`.
    pub(super) fn lung_normal(&self, p: DVec3) -> DVec3 {
        const STEP_MM: f64 = 0.25;
        let slope = |axis: DVec3| {
            self.lung_distance(p + axis * STEP_MM) - self.lung_distance(p - axis * STEP_MM)
        };
        DVec3::new(slope(DVec3::X), slope(DVec3::Y), slope(DVec3::Z)).normalize_or(DVec3::X)
    }

    /// Attenuation of a cell of `width_mm` at `p`, without bones, vessels, airways and lesions.
    pub(super) fn hu(&self, p: DVec3, width_mm: f64) -> f32 {
        let body = self.body(p.z).distance(p);
        if body > width_mm {
            return table(p, width_mm);
        }
        let cavity = self.cavity_distance(p);
        let mut hu = if cavity < -width_mm {
            0.0
        } else {
            self.wall(p, -body, width_mm)
        };
        if cavity < width_mm {
            let below = self.below_diaphragm(p);
            let lung = self.lung_within(p, cavity, below);
            let within = match lung < -width_mm {
                true => self.parenchyma(p, width_mm),
                false => {
                    let soft = self.between_lungs(p, below, width_mm);
                    let inside = ramp(lung, width_mm);
                    if inside > 0.0 {
                        lerp(soft, self.parenchyma(p, width_mm), inside)
                    } else {
                        soft
                    }
                }
            };
            hu = lerp(hu, within, ramp(cavity, width_mm));
        }
        lerp(table(p, width_mm), hu, ramp(body, width_mm))
    }

    fn grain(&self, p: DVec3, grain_mm: f64, salt: u32) -> f32 {
        match self.detail {
            Detail::Full => texture(p, grain_mm, self.texture_seed ^ salt),
            Detail::Plain => 0.0,
        }
    }

    /// Skin, fat and muscle at a depth below the skin; ribs are drawn later.
    fn wall(&self, p: DVec3, depth_mm: f64, width_mm: f64) -> f32 {
        let uneven = f64::from(self.grain(p, 45.0, 1));
        let fat_end = self.fat_mm + SKIN_MM + 5.0 * (p.x.abs() / 150.0) + 4.0 * uneven;
        let grained = FAT_HU + 8.0 * self.grain(p, 7.0, 2);
        let skin = ramp(depth_mm - SKIN_MM, width_mm);
        let muscle = MUSCLE_HU + 6.0 * self.grain(p, 6.0, 3);
        // Sheets of fat between the muscles follow the skin, a little wavy and torn.
        let layer = depth_mm / 17.0 + 1.1 * f64::from(self.grain(p, 48.0, 4));
        let sheet = (layer - layer.round()).abs() - 0.09 * f64::from(self.grain(p, 11.0, 9));
        let streak = match self.detail {
            Detail::Full => ramp(sheet * 17.0 - 0.5, 2.5) * ramp(depth_mm - 42.0, 20.0),
            Detail::Plain => 0.0,
        };
        let inner = lerp(muscle, grained, streak);
        lerp(
            lerp(inner, grained, ramp(depth_mm - fat_end, width_mm.max(1.5))),
            SKIN_HU,
            skin,
        )
    }

    /// Mediastinal fat above the diaphragm, upper abdominal organs below it.
    fn between_lungs(&self, p: DVec3, below_mm: f64, width_mm: f64) -> f32 {
        let fat = FAT_HU + 12.0 + 14.0 * self.grain(p, 5.0, 5);
        if below_mm < -width_mm {
            return fat;
        }
        let organ = |[centre, semi]: [[f64; 3]; 2]| {
            ramp(
                ellipsoid_distance(p - DVec3::from(centre), semi.into()),
                width_mm,
            )
        };
        let liver = LIVER_HU + 5.0 * self.grain(p, 8.0, 6);
        let mut abdomen = lerp(fat, liver, organ(LIVER));
        let stomach = organ(STOMACH);
        let content = match p.y < -38.0 {
            true => AIR_HU + 40.0,
            false => STOMACH_HU,
        };
        abdomen = lerp(abdomen, content, stomach);
        abdomen = lerp(abdomen, SPLEEN_HU, organ(SPLEEN));
        abdomen = lerp(abdomen, MUSCLE_HU, ramp(below_mm - DIAPHRAGM_MM, width_mm));
        lerp(fat, abdomen, ramp(-below_mm, width_mm))
    }

    /// The part of a cell that lies in the abdomen, below the diaphragm.
    pub(super) fn abdominal(&self, p: DVec3, width_mm: f64) -> f64 {
        let within = ramp(self.cavity_distance(p), width_mm);
        within * ramp(DIAPHRAGM_MM - self.below_diaphragm(p), width_mm)
    }

    /// Aerated lung: denser towards the back and the base, as lying down makes it.
    fn parenchyma(&self, p: DVec3, width_mm: f64) -> f32 {
        let gravity = 0.33 * p.y - 0.06 * p.z;
        let mut hu = LUNG_HU + gravity as f32;
        if self.detail == Detail::Full {
            hu += 16.0 * self.grain(p, 3.2, 7) + 14.0 * self.grain(p, 22.0, 8);
            hu = lerp(hu, -690.0, fissures(p, width_mm));
        }
        hu
    }
}

/// The part of a cell that a fissure fills: one oblique plane a side and the horizontal one on the right.
fn fissures(p: DVec3, width_mm: f64) -> f64 {
    const SHEET_MM: f64 = 0.8;
    let sheet =
        |d: f64| (1.0 - d.abs() / width_mm.max(SHEET_MM)).max(0.0) * (SHEET_MM / width_mm).min(1.0);
    let bend = 0.0006 * p.x * p.x;
    let oblique = 0.79 * (p.y - 8.0) - 0.61 * (p.z + 32.0) + bend;
    let horizontal = p.z + 6.0 + 0.15 * p.y + bend * 2.0;
    let right_front = p.x < 0.0 && oblique < 0.0;
    sheet(oblique).max(if right_front { sheet(horizontal) } else { 0.0 })
}

/// Where the trunk ends, if head and legs are drawn as well.
pub(super) struct TrunkEnds {
    /// Height of the shoulders in the middle; they fall by a fifth of the way to the side.
    pub(super) top_mm: f64,
    /// Height of the pelvic floor.
    pub(super) bottom_mm: f64,
}

impl TrunkEnds {
    /// Attenuation of a cell: the chest between the ends, the table beyond.
    pub(super) fn hu(&self, chest: &Chest, p: DVec3, width_mm: f64) -> f32 {
        let top_mm = self.top_mm - 0.2 * p.x.abs();
        let inside = ramp((p.z - top_mm).max(self.bottom_mm - p.z), width_mm);
        if inside <= 0.0 {
            return table(p, width_mm);
        }
        if inside >= 1.0 {
            return chest.hu(p, width_mm);
        }
        lerp(table(p, width_mm), chest.hu(p, width_mm), inside)
    }
}

/// Whether a place is of the table or below it.
pub(super) fn is_table(p: DVec3) -> bool {
    p.y > table_top_mm(p.x)
}

fn table_top_mm(x: f64) -> f64 {
    114.0 - 0.0010 * x * x
}

/// Air with the curved table top under the patient.
fn table(p: DVec3, width_mm: f64) -> f32 {
    let depth = p.y - table_top_mm(p.x);
    if depth < -width_mm || p.x.abs() > 210.0 {
        return AIR_HU;
    }
    let (top, bottom) = (ramp(-depth, width_mm), ramp(depth - 26.0, width_mm));
    let foam = ramp(2.0 - depth, width_mm) * ramp(depth - 24.0, width_mm);
    let shell = lerp(AIR_HU, TABLE_SHELL_HU, top * bottom);
    lerp(shell, TABLE_FOAM_HU, foam)
}
