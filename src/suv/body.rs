//! What SUV is normalised by: weight, lean mass, ideal weight, surface.
//!
//! Source: James 1976 with 128 (`SUVlbm(James128)`), Morgan 1994 with 120 (`LBM`), Janmahasatian 2005, DuBois 1916; PS3.16
//! CID 85; IBSI's manual of SUV computation.

use serde::Serialize;

/// Patient's Sex (0010,0040); an unknown one is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// M
    Male,
    /// F
    Female,
    /// O
    Other,
}

/// What the formulas need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Body {
    /// Weight, kg.
    pub weight_kg: f64,
    /// Height, cm.
    pub height_cm: f64,
    /// For [`Sex::Other`] each formula gives the mean of both.
    pub sex: Sex,
}

impl Body {
    /// Lean body mass after James with 128 for men, kg.
    pub fn lean_mass_james128_kg(&self) -> f64 {
        self.lean_mass_kg(128.0)
    }

    /// Lean body mass after Morgan with 120 for men, kg: what the plain `LBM` of SUV Type means.
    pub fn lean_mass_morgan_kg(&self) -> f64 {
        self.lean_mass_kg(120.0)
    }

    /// Lean body mass after Janmahasatian, kg.
    pub fn lean_mass_janmahasatian_kg(&self) -> f64 {
        let height_m = self.height_cm / 100.0;
        let index = self.weight_kg / (height_m * height_m);
        let mass = |constant, slope| 9270.0 * self.weight_kg / (constant + slope * index);
        self.by_sex(mass(6680.0, 216.0), mass(8780.0, 244.0))
    }

    /// Ideal body weight, kg.
    pub fn ideal_weight_kg(&self) -> f64 {
        let over_cm = self.height_cm - 152.0;
        self.by_sex(48.0 + 1.06 * over_cm, 45.5 + 0.91 * over_cm)
    }

    /// Body surface after DuBois, m².
    pub fn surface_m2(&self) -> f64 {
        0.007_184 * self.height_cm.powf(0.725) * self.weight_kg.powf(0.425)
    }

    fn lean_mass_kg(&self, male: f64) -> f64 {
        let ratio = self.weight_kg / self.height_cm;
        let mass = |linear: f64, square: f64| linear * self.weight_kg - square * ratio * ratio;
        self.by_sex(mass(1.10, male), mass(1.07, 148.0))
    }

    fn by_sex(&self, male: f64, female: f64) -> f64 {
        match self.sex {
            Sex::Male => male,
            Sex::Female => female,
            Sex::Other => f64::midpoint(male, female),
        }
    }
}

/// What SUVbw is multiplied by for each other SUV.
///
/// A formula that gives no positive value, as James' for the very heavy, is left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratios {
    /// g/ml{SUVlbm(James128)}
    pub suvlbm_james128: Option<f64>,
    /// g/ml{SUVlbm(Janma)}
    pub suvlbm_janmahasatian: Option<f64>,
    /// cm2/ml{SUVbsa}
    pub suvbsa: Option<f64>,
    /// g/ml{SUVibw}
    pub suvibw: Option<f64>,
}

impl Ratios {
    /// Of one patient.
    pub fn of(body: &Body) -> Self {
        let by_mass = |mass_kg: f64| (mass_kg > 0.0).then(|| mass_kg / body.weight_kg);
        Self {
            suvlbm_james128: by_mass(body.lean_mass_james128_kg()),
            suvlbm_janmahasatian: by_mass(body.lean_mass_janmahasatian_kg()),
            suvbsa: Some(body.surface_m2() * 1e4 / (body.weight_kg * 1e3)),
            suvibw: by_mass(body.ideal_weight_kg()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(sex: Sex, weight_kg: f64, height_cm: f64) -> Body {
        Body {
            weight_kg,
            height_cm,
            sex,
        }
    }

    fn assert_near(found: f64, wanted: f64, tolerance: f64) {
        assert!(
            (found - wanted).abs() <= tolerance,
            "{found} is not {wanted}"
        );
    }

    #[test]
    fn lean_masses_are_those_of_the_published_vectors() {
        let man = body(Sex::Male, 80.0, 180.0);
        assert_near(man.lean_mass_james128_kg(), 62.7160, 5e-5);
        assert_near(man.lean_mass_morgan_kg(), 64.2963, 5e-5);
        assert_near(man.lean_mass_janmahasatian_kg(), 61.7314, 5e-5);
        let woman = body(Sex::Female, 65.0, 165.0);
        assert_near(woman.lean_mass_james128_kg(), 46.5821, 5e-5);
        assert_near(woman.lean_mass_janmahasatian_kg(), 41.2549, 5e-5);
        let heavy = body(Sex::Male, 130.0, 170.0);
        assert_near(heavy.lean_mass_james128_kg(), 68.149, 5e-4);
        assert_near(heavy.lean_mass_janmahasatian_kg(), 73.498, 5e-4);
    }

    #[test]
    fn other_sex_is_the_mean_of_both() {
        let [man, woman, other] = [Sex::Male, Sex::Female, Sex::Other]
            .map(|sex| body(sex, 70.0, 175.0).ideal_weight_kg());
        assert_near(man, 72.38, 1e-9);
        assert_near(woman, 66.43, 1e-9);
        assert_near(other, 69.405, 1e-9);
    }

    #[test]
    fn ratios_turn_suvbw_into_what_their_norm_gives() {
        let man = body(Sex::Male, 80.0, 180.0);
        let ratios = Ratios::of(&man);
        assert_near(ratios.suvlbm_james128.unwrap_or(0.0), 62.7160 / 80.0, 1e-6);
        assert_near(man.surface_m2(), 1.9964, 1e-3);
        // A Bq/ml is A / D × BSA(cm²) as SUVbsa and A / D × W(g) as SUVbw.
        assert_near(
            ratios.suvbsa.unwrap_or(0.0),
            man.surface_m2() * 1e4 / 80_000.0,
            1e-12,
        );
    }

    #[test]
    fn a_formula_beyond_its_range_gives_no_ratio() {
        let heaviest = Ratios::of(&body(Sex::Male, 280.0, 160.0));
        assert_eq!(heaviest.suvlbm_james128, None);
        assert!(heaviest.suvlbm_janmahasatian.is_some());
    }
}
