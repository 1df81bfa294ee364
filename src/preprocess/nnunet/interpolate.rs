//! Interpolates the logits of a class linearly at some rows of a slice of the target.

use super::resize::Resize;
use super::taps::Pair;
use std::ops::Range;

/// Which logits are read: rows of a slice of the network's grid, of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRows {
    /// Class.
    pub class: usize,
    /// Slice.
    pub z: usize,
    /// Rows.
    pub rows: Range<usize>,
}

/// Where a band lies on the target.
pub(super) struct Place {
    pub(super) z: usize,
    pub(super) rows: Range<usize>,
}

/// One class on its way to a band.
pub(super) struct Logits {
    /// Rows of the lower and the upper slice.
    source: [Vec<f32>; 2],
    /// Columns as on the target, rows as on the source.
    wide: Vec<f32>,
    pub(super) target: Vec<f32>,
}

/// Between which source voxels each target voxel lies.
pub(super) struct Axes {
    pub(super) z: Vec<Along>,
    pub(super) y: Vec<Along>,
    pub(super) x: Vec<Along>,
    source_columns: usize,
}

/// A [`Pair`] in the precision of the logits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Along {
    lower: usize,
    upper: usize,
    t: f32,
}

impl Axes {
    pub(super) fn new(resize: &Resize) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a fraction, in f32 as the logits"
        )]
        let along = |Pair { lower, upper, t }| Along {
            lower,
            upper,
            t: t as f32,
        };
        let [z, y, x] = [0, 1, 2].map(|axis| resize.pairs(axis).map(along).collect());
        Self {
            z,
            y,
            x,
            source_columns: resize.from()[2],
        }
    }
}

#[inline]
fn blend(a: f32, b: f32, t: f32) -> f32 {
    (1.0 - t) * a + t * b
}

impl Logits {
    /// `band` has room for the rows of any band.
    pub(super) fn new(band: Vec<f32>) -> Self {
        Self {
            source: [Vec::new(), Vec::new()],
            wide: Vec::new(),
            target: band,
        }
    }

    /// Along z, then x, then y: the fewest values where it is slowest.
    pub(super) fn interpolate(
        &mut self,
        axes: &Axes,
        place: &Place,
        class: usize,
        read: &impl Fn(&SourceRows, &mut [f32]),
    ) {
        let (z, y) = (axes.z[place.z], &axes.y[place.rows.clone()]);
        let rows = y[0].lower..y[y.len() - 1].upper + 1;
        let fill = |z: usize, values: &mut Vec<f32>| {
            values.resize(rows.len() * axes.source_columns, 0.0);
            let rows = rows.clone();
            read(&SourceRows { class, z, rows }, values);
        };
        let [lower, upper] = &mut self.source;
        fill(z.lower, lower);
        if z.t > 0.0 {
            fill(z.upper, upper);
            for (lower, upper) in lower.iter_mut().zip(upper) {
                *lower = blend(*lower, *upper, z.t);
            }
        }
        self.along_x(axes);
        self.along_y(y, axes.x.len());
    }

    fn along_x(&mut self, axes: &Axes) {
        let [source, _] = &self.source;
        let columns = axes.x.len();
        self.wide
            .resize(source.len() / axes.source_columns * columns, 0.0);
        let lines = self.wide.chunks_mut(columns);
        for (wide, line) in lines.zip(source.chunks(axes.source_columns)) {
            for (value, x) in wide.iter_mut().zip(&axes.x) {
                *value = blend(line[x.lower], line[x.upper], x.t);
            }
        }
    }

    /// `y` is of the rows of a band, of so many columns.
    fn along_y(&mut self, y: &[Along], columns: usize) {
        let line = |row: usize| &self.wide[(row - y[0].lower) * columns..][..columns];
        for (target, y) in self.target.chunks_mut(columns).zip(y) {
            let both = line(y.lower).iter().zip(line(y.upper));
            for (target, (lower, upper)) in target.iter_mut().zip(both) {
                *target = blend(*lower, *upper, y.t);
            }
        }
    }
}
