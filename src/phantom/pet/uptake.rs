//! What takes up how much: organs as forms with a true SUV, and the other tissues by their attenuation.

use super::super::anatomy::{Chest, Heart, LIVER, SPLEEN, STOMACH};
use super::super::organs;
use super::super::shape::{Form, Shape};
use super::body;
use super::params::Extent;
use super::tracer::Uptake;
use glam::DVec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A form of one true SUV.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// As the truth names it; none for vessels and for what is drawn to leave a cavity.
    pub(super) name: Option<&'static str>,
    pub(super) form: Form,
    pub(super) suv: f32,
    /// Only what of it lies in the abdomen is there.
    pub(super) is_abdominal: bool,
}

impl Part {
    fn new(name: &'static str, form: Form, suv: f32) -> Self {
        Self {
            name: Some(name),
            form,
            suv,
            is_abdominal: false,
        }
    }

    pub(super) fn unnamed(form: Form, suv: f32) -> Self {
        Self {
            name: None,
            ..Self::new("", form, suv)
        }
    }

    fn abdominal(name: &'static str, ellipsoid: [[f64; 3]; 2], suv: f32) -> Self {
        Self {
            is_abdominal: true,
            ..Self::new(name, body::ellipsoid(ellipsoid), suv)
        }
    }

    /// The part of a cell of `width_mm` at `p` that it fills, 0 to 1.
    pub(super) fn coverage(&self, chest: &Chest, p: DVec3, width_mm: f64) -> f64 {
        let covered = self.form.coverage(p, width_mm);
        match self.is_abdominal && covered > 0.0 {
            true => covered * chest.abdominal(p, width_mm),
            false => covered,
        }
    }
}

/// Every organ, in drawing order.
pub(super) fn parts(
    extent: Extent,
    chest: &Chest,
    uptake: &Uptake,
    rng: &mut ChaCha8Rng,
) -> Vec<Part> {
    let mut parts = blood_and_heart(chest, uptake);
    parts.push(Part::abdominal("liver", LIVER, uptake.liver));
    parts.push(Part::abdominal("stomach", STOMACH, uptake.stomach));
    parts.push(Part::abdominal("spleen", SPLEEN, uptake.spleen));
    if extent == Extent::Body {
        below_and_above(uptake, rng, &mut parts);
    }
    parts
}

fn blood_and_heart(chest: &Chest, uptake: &Uptake) -> Vec<Part> {
    let mut vessels: Vec<Shape> = Vec::new();
    organs::circulation(chest, &mut vessels);
    let blood = |shape: Shape| Part::unnamed(shape.form, uptake.blood);
    let mut parts: Vec<Part> = vessels.into_iter().map(blood).collect();
    let Heart { centre, .. } = *chest.heart();
    let axes = Heart::axes();
    let ventricle = |along_mm: f64, semi: [f64; 3]| Form::Ellipsoid {
        centre: centre + axes.x_axis * along_mm,
        axes,
        semi_mm: semi.into(),
    };
    let wall = ventricle(14.0, [44.0, 32.0, 32.0]);
    parts.push(Part::new("myocardium", wall, uptake.myocardium));
    let cavity = ventricle(8.0, [38.0, 21.0, 21.0]);
    parts.push(Part::unnamed(cavity, uptake.blood));
    parts
}

fn below_and_above(uptake: &Uptake, rng: &mut ChaCha8Rng, parts: &mut Vec<Part>) {
    let of = |name, ellipsoid, suv| Part::new(name, body::ellipsoid(ellipsoid), suv);
    parts.extend(body::KIDNEYS.map(|kidney| of("kidney", kidney, uptake.kidney)));
    let [least, most] = uptake.bowel;
    let loops = body::COLON.windows(2).chain(body::SMALL_BOWEL.windows(2));
    for ends in loops {
        let suv = rng.random_range(least..=most);
        let [[fx, fy, fz, from_mm], [tx, ty, tz, to_mm]] = [ends[0], ends[1]];
        let form = Form::Tube {
            from: DVec3::new(fx, fy, fz),
            to: DVec3::new(tx, ty, tz),
            radii_mm: [from_mm, to_mm],
        };
        parts.push(Part::new("bowel", form, suv));
    }
    parts.push(of("bladder", body::BLADDER, uptake.bladder));
    parts.push(of("brain", body::BRAIN, uptake.brain));
    parts.push(of("brain", body::CEREBELLUM, uptake.brain));
    parts.extend(body::PAROTIDS.map(|gland| of("parotid", gland, uptake.parotid)));
    let gland = |gland| of("submandibular", gland, uptake.submandibular);
    parts.extend(body::SUBMANDIBULARS.map(gland));
    parts.extend(body::TONSILS.map(|tonsil| of("tonsil", tonsil, uptake.tonsil)));
    let side = if rng.random_range(0..2) == 0 {
        -1.0
    } else {
        1.0
    };
    // In the crook of the arm, just below the skin.
    let vein = body::elbow(side) + DVec3::new(0.0, -31.0, -22.0);
    parts.push(Part::new(
        "injection-site",
        Form::ball(vein, 6.0),
        uptake.injection,
    ));
}

/// True SUV of what no organ covers, by its attenuation: lung, fat, muscle and marrow, with even steps between them.
pub(super) fn of_tissue(hu: f32, uptake: &Uptake) -> f32 {
    let knots = [
        (-985.0, 0.0),
        (-920.0, uptake.lung),
        (-600.0, uptake.lung),
        (-150.0, uptake.fat),
        (-60.0, uptake.fat),
        (10.0, uptake.muscle),
        (120.0, uptake.muscle),
        (200.0, uptake.marrow),
    ];
    let above = knots.partition_point(|(knot_hu, _)| *knot_hu <= hu);
    let Some(&(to_hu, to)) = knots.get(above) else {
        return uptake.marrow;
    };
    let Some(&(from_hu, from)) = above.checked_sub(1).and_then(|i| knots.get(i)) else {
        return 0.0;
    };
    from + (to - from) * (hu - from_hu) / (to_hu - from_hu)
}
