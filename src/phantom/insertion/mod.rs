//! Synthetic lesions in the lungs of a real chest CT: what judges sensitivity.
//!
//! In: stored values, how deep each place lies in the lungs, a number of lesions and a seed. Out: the same values with
//! lesions of the published table mixed in, and their truth ([`Inserted`]); both on disk by [`write_inserted`].
//! Refused: more lesions than have room.

mod chest;
mod drawing;
mod mix;
mod outline;
mod site;
mod table;
mod taps;
#[cfg(test)]
mod tests;
mod truth;
mod write;

pub use drawing::PointSpread;
pub use table::{Attachment, Margin, SolidCore};
pub use truth::{InsertedNodule, InsertedTruth, Known, KnownTruth};
pub use write::{InsertedFiles, write_inserted};

use super::{Error, Stream, random};
use crate::uid::UidSource;
use crate::volume::{StoredVolume, Volume};
use chest::Chest;
use rand::RngExt;
use site::Site;
use table::Table;

/// Most lesions of one series.
const MOST_LESIONS: usize = 200;

/// What is known of the scan beside its values.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// Depth below the lungs' border, mm, positive inside, vessels included; on any grid that covers the lungs.
    pub depth_mm: &'a Volume<f32>,
    /// How a point looks in it.
    pub spread: PointSpread,
    /// Bits Stored (0028,0101), the least of its slices.
    pub bits_stored: u32,
}

/// What to insert.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// How many lesions.
    pub lesions: usize,
    /// Another seed draws other lesions in other places.
    pub seed: u64,
    /// Series Instance UID of the scan; part of what the new UIDs derive from.
    pub series_instance_uid: String,
    /// Nodules that are there already.
    pub known: Vec<Known>,
}

impl Request {
    /// UIDs of the new series: equal inputs, equal UIDs.
    fn uids(&self, table: &str) -> UidSource {
        let known = serde_json::to_string(&self.known).unwrap_or_default();
        let [lesions, seed] = [self.lesions.to_string(), self.seed.to_string()];
        let version = env!("CARGO_PKG_VERSION");
        let series = self.series_instance_uid.as_str();
        UidSource::new([
            "hilum phantom --into",
            version,
            series,
            &lesions,
            &seed,
            &known,
            table,
        ])
    }
}

/// A scan with lesions in it.
#[derive(Debug, Clone)]
pub struct Inserted {
    /// The scan's stored values with the lesions.
    pub stored: StoredVolume,
    /// What was inserted.
    pub truth: InsertedTruth,
    /// Voxels of each of the truth's nodules, by linear index: those of which a lesion fills at least half; of a known
    /// nodule the ball of its volume.
    pub masks: Vec<Vec<usize>>,
    uids: UidSource,
}

/// Inserts lesions; the same scan and request give the same values.
///
/// # Errors
/// [`Error::OutOfRange`] for 0 or more than 200 lesions; [`Error::NoRoomInLungs`] where one fits nowhere.
pub fn insert(mut stored: StoredVolume, scan: &Scan, request: &Request) -> Result<Inserted, Error> {
    if !(1..=MOST_LESIONS).contains(&request.lesions) {
        return Err(Error::OutOfRange {
            name: "lesions",
            limits: "1 to 200 lesions to insert",
        });
    }
    let table = Table::published()?;
    let mut rng = random(request.seed, Stream::Lesions);
    let recipes = table.draw(request.lesions, &mut rng);
    let chest = Chest::new(&stored, scan.depth_mm);
    let site = Site {
        chest: &chest,
        stored: &stored,
        scan,
        known: &request.known,
    };
    let placed = site.place(recipes, &mut rng)?;
    for lesion in &placed {
        mix::mix(
            &mut stored,
            (&chest, scan),
            &lesion.drawing,
            &lesion.recipe,
            rng.random(),
        );
    }
    let uids = request.uids(table::TABLE);
    let truth = InsertedTruth::new(
        &stored.geometry,
        (request, scan, table.version()),
        &uids,
        &placed,
    );
    let known = request
        .known
        .iter()
        .map(|known| known.ball(&stored.geometry));
    let known: Vec<_> = known.collect();
    let masks = placed.into_iter().map(|lesion| lesion.mask).chain(known);
    Ok(Inserted {
        stored,
        truth,
        masks: masks.collect(),
        uids,
    })
}
