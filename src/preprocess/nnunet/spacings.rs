//! Spacings of two grids, and nnU-Net's rule for thick slices.

/// A spacing beyond this multiple of another makes a grid anisotropic.
const ANISOTROPIC_RATIO: f64 = 3.0;

/// Spacings of two grids, and nnU-Net's `force_separate_z`. `[z, y, x]`, mm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacings {
    /// Of the grid that is read.
    pub from_mm: [f64; 3],
    /// Of the grid that is written.
    pub to_mm: [f64; 3],
    /// Whether the thickest axis is resampled apart; by its spacing where `None`.
    pub force_separate: Option<bool>,
}

impl Spacings {
    /// The same, the other way round: for the logits.
    pub fn reversed(self) -> Self {
        Self {
            from_mm: self.to_mm,
            to_mm: self.from_mm,
            ..self
        }
    }

    /// The axis along which the nearest slice is taken, if any: the only thickest one of an anisotropic grid.
    pub(super) fn separate(&self) -> Option<usize> {
        let spacing_mm = match self.force_separate {
            Some(false) => return None,
            Some(true) => self.from_mm,
            None => [self.from_mm, self.to_mm]
                .into_iter()
                .find(is_anisotropic)?,
        };
        let max = largest(spacing_mm);
        let mut thickest = (0..3).filter(|&axis| max / spacing_mm[axis] <= 1.0);
        let first = thickest.next();
        first.filter(|_| thickest.next().is_none())
    }
}

fn is_anisotropic(spacing_mm: &[f64; 3]) -> bool {
    let smallest = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
    largest(*spacing_mm) / smallest > ANISOTROPIC_RATIO
}

fn largest(spacing_mm: [f64; 3]) -> f64 {
    spacing_mm.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_thickest_axis_of_an_anisotropic_grid_is_separate() {
        let thick = [5.0, 0.7, 0.7];
        let cubic = [1.5; 3];
        for (from, to, force, wanted) in [
            (thick, cubic, None, Some(0)),
            (cubic, thick, None, Some(0)),
            ([0.7, 5.0, 0.7], [0.7, 0.7, 5.0], None, Some(1)),
            // Exactly three times is not yet anisotropic.
            ([3.0, 1.0, 1.0], [3.0, 1.0, 1.0], None, None),
            // Two thick axes are none, though the other grid has one.
            ([0.24, 1.25, 1.25], thick, None, None),
            (cubic, cubic, None, None),
            (thick, thick, Some(false), None),
            ([1.2, 1.0, 1.0], cubic, Some(true), Some(0)),
            (cubic, thick, Some(true), None),
        ] {
            let spacings = Spacings {
                from_mm: from,
                to_mm: to,
                force_separate: force,
            };
            assert_eq!(spacings.separate(), wanted, "{spacings:?}");
        }
    }
}
