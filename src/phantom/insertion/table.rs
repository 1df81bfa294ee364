//! The published table of lesions, and what is drawn from it.

use super::super::{Density, Error};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The table as text: its hash names what was inserted.
pub(super) const TABLE: &str = include_str!("table.toml");

/// What a lesion lies against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// Lung on all sides, 2 mm or more from the lung's border and from vessels.
    Isolated,
    /// Voxels of the lesion adjoin voxels outside the lung.
    Juxtapleural,
    /// Voxels of the lesion adjoin or hold voxels of a vessel, and none outside the lung.
    Juxtavascular,
}

/// A lesion's outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Margin {
    /// An ellipsoid.
    Smooth,
    /// An ellipsoid with waves of spherical harmonics of degree 2 to 4.
    Lobulated,
    /// Slighter waves, and spicules.
    Spiculated,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    version: u32,
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(rename = "type")]
    density: Density,
    diameter_mm: [f64; 2],
    weight: f64,
    value_hu: [f64; 2],
    core: Option<CoreRow>,
    attachment: Attachment,
    margin: Margin,
    noise_hu: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoreRow {
    volume_share: [f64; 2],
    value_hu: [f64; 2],
}

/// One lesion as drawn from the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    pub(super) density: Density,
    pub(super) diameter_mm: f64,
    /// Of a part-solid lesion, its ground-glass part.
    pub(super) value_hu: f32,
    pub(super) core: Option<SolidCore>,
    pub(super) attachment: Attachment,
    pub(super) margin: Margin,
    /// Standard deviation of the noise added to the scan's own, HU.
    pub(super) noise_hu: f32,
}

/// Solid part of a part-solid lesion that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SolidCore {
    /// Its part of the lesion's volume.
    pub volume_share: f64,
    /// Attenuation, HU.
    pub value_hu: f32,
}

impl Table {
    /// # Errors
    /// [`Error::Table`] where the file that is compiled in does not parse.
    pub(super) fn published() -> Result<Self, Error> {
        toml::from_str(TABLE).map_err(|e| Error::Table {
            reason: e.to_string(),
        })
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// `count` lesions, each row by its weight, the largest first.
    ///
    /// One random start and equal steps through the summed weights: a row of 4 in 100 gives one of 25 lesions, or
    /// exactly 20 of 500 in twenty runs on average.
    pub(super) fn draw(&self, count: usize, rng: &mut ChaCha8Rng) -> Vec<Recipe> {
        let sum: f64 = self.row.iter().map(|row| row.weight).sum();
        let start: f64 = rng.random_range(0.0..1.0);
        let places = (0..count).map(|i| (i as f64 + start) / count as f64 * sum);
        let mut recipes: Vec<Recipe> = places
            .filter_map(|place| Some(self.row_at(place)?.draw(rng)))
            .collect();
        recipes.sort_by(|a, b| b.diameter_mm.total_cmp(&a.diameter_mm));
        recipes
    }

    fn row_at(&self, mut place: f64) -> Option<&Row> {
        let found = self.row.iter().find(|row| {
            place -= row.weight;
            place < 0.0
        });
        found.or(self.row.last())
    }
}

impl Row {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Recipe {
        let mut within =
            |[least, most]: [f64; 2]| least + (most - least) * rng.random_range(0.0..1.0);
        // Small ones are common: even by the logarithm.
        let diameter_mm = within(self.diameter_mm.map(f64::ln)).exp();
        let value_hu = within(self.value_hu).round() as f32;
        let core = self.core.as_ref().map(|core| SolidCore {
            volume_share: within(core.volume_share),
            value_hu: within(core.value_hu).round() as f32,
        });
        Recipe {
            density: self.density,
            diameter_mm,
            value_hu,
            core,
            attachment: self.attachment,
            margin: self.margin,
            noise_hu: self.noise_hu as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::path::Path;

    fn word(value: impl Serialize) -> String {
        let json = serde_json::to_value(value).unwrap();
        json.as_str().unwrap().to_owned()
    }

    fn range(values: [f64; 2]) -> String {
        format!("{} to {}", values[0], values[1])
    }

    /// The row as `docs/insertion.md` shows it.
    fn published(row: &Row) -> String {
        let core = row.core.as_ref().map_or("none".into(), |core| {
            let share = core.volume_share.map(|share| (share * 100.0).round());
            format!("{} % at {}", range(share), range(core.value_hu))
        });
        format!(
            "| {} | {} | {} | {} | {core} | {} | {} | {} |",
            word(row.density),
            range(row.diameter_mm),
            row.weight,
            range(row.value_hu),
            word(row.attachment),
            word(row.margin),
            row.noise_hu
        )
    }

    #[test]
    fn the_page_shows_exactly_the_rows_of_the_table() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/insertion.md");
        let page = std::fs::read_to_string(page).unwrap();
        let kinds = ["| solid |", "| ground-glass |", "| part-solid |"];
        let shown: Vec<&str> = page
            .lines()
            .filter(|line| kinds.iter().any(|kind| line.starts_with(kind)))
            .collect();
        let rows: Vec<String> = Table::published()
            .unwrap()
            .row
            .iter()
            .map(published)
            .collect();
        assert_eq!(shown, rows);
    }

    #[test]
    fn the_rows_are_possible_and_most_lesions_are_of_4_to_12_mm() {
        let table = Table::published().unwrap();
        let weight = |rows: &mut dyn Iterator<Item = &Row>| rows.map(|row| row.weight).sum::<f64>();
        assert!((weight(&mut table.row.iter()) - 100.0).abs() < 1e-9);
        let usual = |row: &&Row| row.diameter_mm[0] >= 4.0 && row.diameter_mm[1] <= 12.0;
        assert!(weight(&mut table.row.iter().filter(usual)) > 75.0);
        for row in &table.row {
            assert!(row.diameter_mm[0] >= 3.0 && row.diameter_mm[1] <= 30.0);
            assert!(row.diameter_mm[0] < row.diameter_mm[1] && row.value_hu[0] < row.value_hu[1]);
            assert_eq!(row.core.is_some(), row.density == Density::PartSolid);
        }
    }

    #[test]
    fn lesions_come_by_weight_and_the_largest_first() {
        let table = Table::published().unwrap();
        let recipes = table.draw(100, &mut ChaCha8Rng::seed_from_u64(7));
        let solid = recipes.iter().filter(|r| r.density == Density::Solid);
        assert_eq!((recipes.len(), solid.count()), (100, 68));
        assert!(recipes.is_sorted_by(|a, b| a.diameter_mm >= b.diameter_mm));
    }
}
