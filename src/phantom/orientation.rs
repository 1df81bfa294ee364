//! The 48 ways in which a grid can lie along the patient's axes.

use super::Error;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Patient directions in which columns, rows and slices count up, such as `LPS`: x to the left, y to the back, z to the head.
///
/// All 48 are possible; 24 of them are left-handed, so that slice numbers count against the slice normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Orientation([char; 3]);

impl Default for Orientation {
    fn default() -> Self {
        Self(['L', 'P', 'S'])
    }
}

impl Orientation {
    /// All 48.
    pub fn all() -> Vec<Self> {
        let letters = ["LR", "PA", "SI"];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let mut all = Vec::new();
        for order in orders {
            for signs in 0..8_usize {
                let letter = |i: usize| letters[order[i]].as_bytes()[signs >> i & 1] as char;
                all.push(Self([letter(0), letter(1), letter(2)]));
            }
        }
        all
    }

    /// Unit vectors, in LPS, in which x (column), y (row) and z (slice) indices count up.
    pub fn vectors(self) -> [DVec3; 3] {
        self.0.map(|letter| match letter {
            'L' => DVec3::X,
            'R' => DVec3::NEG_X,
            'P' => DVec3::Y,
            'A' => DVec3::NEG_Y,
            'S' => DVec3::Z,
            _ => DVec3::NEG_Z,
        })
    }
}

impl FromStr for Orientation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::all()
            .into_iter()
            .find(|o| o.to_string() == text)
            .ok_or(Error::OutOfRange {
                name: "orientation",
                limits: "three letters, one each of L/R, P/A and S/I, such as LPS",
            })
    }
}

impl TryFrom<String> for Orientation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Orientation> for String {
    fn from(orientation: Orientation) -> Self {
        orientation.to_string()
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_48_distinct_orientations_that_read_back() {
        let all = Orientation::all();
        assert_eq!(
            all.iter()
                .map(ToString::to_string)
                .collect::<HashSet<_>>()
                .len(),
            48
        );
        for o in all {
            assert_eq!(o.to_string().parse::<Orientation>().unwrap(), o);
        }
        assert!("LLS".parse::<Orientation>().is_err());
    }
}
