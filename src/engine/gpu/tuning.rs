//! Tiles that were measured to be the best on one adapter: found by `hilum bench --tune`, kept in the user's cache folder.
//!
//! Other tiles add a norm's statistics in another order, which changes last bits: a table's hash belongs to provenance.

use super::network::Network;
use super::tile::{Shape, Tile};
use crate::engine::Layers;
use crate::gpu::{Error, Gpu, Storage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A tile must be faster by this factor to replace the usual one: less is noise.
const WORTHWHILE: f64 = 0.97;
/// A larger file is none of ours.
const MAX_BYTES: u64 = 1 << 20;

/// The tiles of one adapter with one driver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    adapter: String,
    driver: String,
    #[serde(default)]
    layers: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Whether activations have 16 bits.
    half: bool,
    shape: Shape,
    tile: Tile,
}

/// What a layer's tiles took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Kernel along z, y, x.
    pub kernel: [usize; 3],
    /// Stride along z, y, x.
    pub stride: [usize; 3],
    /// Quads of output channels, times the voxels that each position becomes.
    pub columns: usize,
    /// Positions of the usual tile along z, y, x, and the input quads that it stages at once.
    pub usual: [usize; 4],
    /// Of the best tile.
    pub best: [usize; 4],
    /// Of all layers of this shape with the usual tile.
    pub usual_ms: f64,
    /// With the best one.
    pub best_ms: f64,
    /// Tiles that were tried.
    pub tried: usize,
}

impl Tuned {
    /// The table of a GPU's adapter and driver; empty where there is none, or none that can be read, which is logged.
    pub fn of(gpu: &Gpu) -> Self {
        let Some(file) = file(gpu) else {
            return Self::empty(gpu);
        };
        Self::read(&file, gpu).unwrap_or_else(|reason| {
            if file.exists() {
                tracing::warn!(
                    reason,
                    "A table of tiles is not used; hilum bench --tune makes a new one."
                );
            }
            Self::empty(gpu)
        })
    }

    fn empty(gpu: &Gpu) -> Self {
        Self {
            adapter: gpu.info().name.clone(),
            driver: gpu.info().driver.clone(),
            layers: Vec::new(),
        }
    }

    fn read(file: &Path, gpu: &Gpu) -> Result<Self, String> {
        let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
        if size > MAX_BYTES {
            return Err(format!("it has {size} bytes"));
        }
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
        let tuned: Self = toml::from_str(&text).map_err(|e| e.message().to_owned())?;
        if (&tuned.adapter, &tuned.driver) != (&gpu.info().name, &gpu.info().driver) {
            return Err("it is of another adapter or driver".into());
        }
        Ok(tuned)
    }

    /// The tile of a layer, where one was found that fits in `limit_bytes` of workgroup memory.
    pub(super) fn tile(&self, storage: Storage, shape: &Shape, limit_bytes: usize) -> Option<Tile> {
        let half = storage == Storage::F16;
        let own = |entry: &&Entry| entry.half == half && entry.shape == *shape;
        let tile = self.layers.iter().find(own)?.tile;
        tile.is_sound(shape, limit_bytes).then_some(tile)
    }

    /// What identifies the table where it changes results; `None` of an empty one.
    pub fn identity(&self) -> Option<String> {
        let text = toml::to_string(self)
            .ok()
            .filter(|_| !self.layers.is_empty())?;
        let digest = Sha256::digest(text.as_bytes());
        Some(
            digest
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// Keeps the table for later runs; gives its file, or `None` where the user has no cache folder.
    ///
    /// # Errors
    /// Those of the file system; a table that was there stays whole.
    pub fn keep(&self, gpu: &Gpu) -> std::io::Result<Option<PathBuf>> {
        let Some(file) = file(gpu) else {
            return Ok(None);
        };
        self.write(&file)?;
        Ok(Some(file))
    }

    fn write(&self, file: &Path) -> std::io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        let mut whole = tempfile::NamedTempFile::new_in(folder)?;
        whole.write_all(text.as_bytes())?;
        whole.as_file().sync_all()?;
        whole.persist(file)?;
        Ok(())
    }

    fn set(&mut self, entry: Entry) {
        let other = |own: &Entry| own.half != entry.half || own.shape != entry.shape;
        self.layers.retain(other);
        self.layers.push(entry);
    }
}

/// Named by adapter and driver, whose own words may be no file's name.
fn file(gpu: &Gpu) -> Option<PathBuf> {
    let info = gpu.info();
    let digest = Sha256::digest(format!("{}\n{}", info.name, info.driver).as_bytes());
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(
        dirs::cache_dir()?
            .join("hilum")
            .join(format!("tiles-{name}.toml")),
    )
}

/// Measures every tile for the layers of a network on patches of `size` voxels, `repeat` times each, and adds the best to
/// `tuned`. `progress` is told rounds done and in all.
///
/// Layers that run on matrix units have tiles of their own and are left as they are.
///
/// # Errors
/// As [`Network::program`].
pub fn tune(
    gpu: &Gpu,
    layers: &Layers,
    size: [usize; 3],
    repeat: usize,
    (tuned, progress): (&mut Tuned, &dyn Fn(usize, usize)),
) -> Result<Vec<Trial>, Error> {
    let network = Network::with_tiles(layers, gpu, &Tuned::empty(gpu))?;
    let shapes = network.shapes();
    let mut known: Vec<Shape> = shapes.iter().flatten().copied().collect();
    known.sort_unstable();
    known.dedup();
    let candidates = known
        .iter()
        .map(|shape| Tile::all(shape, gpu.workgroup_bytes()));
    let candidates: Vec<Vec<Tile>> = candidates.collect();
    let rounds = candidates.iter().map(Vec::len).max().unwrap_or(0);
    let mut times = vec![Vec::new(); known.len()];
    for round in 0..rounds {
        progress(round, rounds);
        let entries = known.iter().zip(&candidates).filter_map(|(shape, tiles)| {
            let tile = *tiles.get(round)?;
            let half = gpu.storage() == Storage::F16;
            Some(Entry {
                half,
                shape: *shape,
                tile,
            })
        });
        let table = Tuned {
            layers: entries.collect(),
            ..Tuned::empty(gpu)
        };
        let of_layers = least(
            gpu,
            &Network::with_tiles(layers, gpu, &table)?,
            size,
            repeat,
        )?;
        for ((times, shape), tiles) in times.iter_mut().zip(&known).zip(&candidates) {
            let own = shapes
                .iter()
                .zip(&of_layers)
                .filter(|(own, _)| own.as_ref() == Some(shape));
            if round < tiles.len() {
                times.push(own.map(|(_, time)| time.as_secs_f64() * 1e3).sum::<f64>());
            }
        }
    }
    progress(rounds, rounds);
    let found = known.iter().zip(&candidates).zip(&times);
    Ok(found
        .filter_map(|((shape, tiles), times)| judged(gpu, tuned, shape, (tiles, times)))
        .collect())
}

/// The best of a shape's tiles, of which the first is the usual one, and what it took; kept where it is worthwhile.
fn judged(
    gpu: &Gpu,
    tuned: &mut Tuned,
    shape: &Shape,
    (tiles, times): (&[Tile], &[f64]),
) -> Option<Trial> {
    let (usual, usual_ms) = (*tiles.first()?, *times.first()?);
    let fastest = (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b]))?;
    let best = if times[fastest] < WORTHWHILE * usual_ms {
        fastest
    } else {
        0
    };
    if best > 0 {
        tuned.set(Entry {
            half: gpu.storage() == Storage::F16,
            shape: *shape,
            tile: tiles[best],
        });
    }
    let told = |tile: Tile| [tile.z, tile.y, tile.run, tile.depth];
    Some(Trial {
        kernel: shape.kernel,
        stride: shape.stride,
        columns: shape.columns,
        usual: told(usual),
        best: told(tiles[best]),
        usual_ms,
        best_ms: times[best],
        tried: tiles.len(),
    })
}

/// The least time of each layer.
fn least(
    gpu: &Gpu,
    network: &Network,
    size: [usize; 3],
    repeat: usize,
) -> Result<Vec<Duration>, Error> {
    let program = network.program(gpu, size)?;
    // The first run compiles the kernels.
    let mut least = program.profile(gpu)?;
    for run in 0..repeat.max(1) {
        let times = program.profile(gpu)?;
        for (least, time) in least.iter_mut().zip(times) {
            *least = if run == 0 { time } else { time.min(*least) };
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_gpu;
    use super::*;
    use crate::engine::cases::{difference, wide};

    fn shape() -> Shape {
        Shape {
            kernel: [3; 3],
            stride: [1; 3],
            channels_in: 4,
            columns: 8,
        }
    }

    #[test]
    fn a_table_is_read_back_for_its_own_adapter_alone_and_damage_is_no_table() {
        on_gpu(|gpu| {
            let folder = tempfile::tempdir().expect("folder");
            let file = folder.path().join("below").join("tiles.toml");
            let tile = Tile::all(&shape(), 16 << 10)[1];
            let mut tuned = Tuned::empty(gpu);
            assert_eq!(tuned.identity(), None);
            tuned.set(Entry {
                half: false,
                shape: shape(),
                tile,
            });
            tuned.write(&file).expect("writes");
            assert_eq!(Tuned::read(&file, gpu), Ok(tuned.clone()));
            assert_eq!(tuned.tile(Storage::F32, &shape(), 16 << 10), Some(tile));
            assert_eq!(tuned.tile(Storage::F16, &shape(), 16 << 10), None);
            assert!(tuned.identity().is_some());
            let foreign = Tuned {
                adapter: "another".into(),
                ..tuned
            };
            foreign.write(&file).expect("writes");
            assert!(Tuned::read(&file, gpu).is_err());
            std::fs::write(&file, "layers = 7").expect("writes");
            assert!(Tuned::read(&file, gpu).is_err());
        });
    }

    #[test]
    fn a_tile_that_the_gpu_cannot_hold_or_the_shader_cannot_run_is_not_taken() {
        on_gpu(|gpu| {
            let usual = Tile::choose(&shape(), 16 << 10).expect("fits");
            for tile in [
                Tile { z: 3, ..usual },
                Tile {
                    z: 64,
                    y: 64,
                    ..usual
                },
                Tile { run: 0, ..usual },
                Tile {
                    run: 1 << 40,
                    ..usual
                },
                Tile { depth: 0, ..usual },
                Tile {
                    depth: 1000,
                    ..usual
                },
            ] {
                let mut tuned = Tuned::empty(gpu);
                tuned.set(Entry {
                    half: false,
                    shape: shape(),
                    tile,
                });
                assert_eq!(
                    tuned.tile(Storage::F32, &shape(), 16 << 10),
                    None,
                    "{tile:?}"
                );
            }
        });
    }

    #[test]
    fn every_tile_computes_what_the_reference_defines_and_equal_bits_twice() {
        on_gpu(|gpu| {
            let (case, input) = (wide(), wide().input());
            let layers = case.net().layers();
            let expected = case.net().reference(&input);
            let usual = Network::with_tiles(&layers, gpu, &Tuned::empty(gpu)).expect("uploads");
            // A software GPU takes seconds to compile each: some that differ most from the usual ones.
            for pick in [1, 5, 9] {
                let mut tuned = Tuned::empty(gpu);
                for shape in usual.shapes().into_iter().flatten() {
                    let tiles = Tile::all(&shape, gpu.workgroup_bytes());
                    let tile = tiles[pick % tiles.len()];
                    tuned.set(Entry {
                        half: false,
                        shape,
                        tile,
                    });
                }
                let network = Network::with_tiles(&layers, gpu, &tuned).expect("uploads");
                let program = network.program(gpu, case.size()).expect("fits");
                let found = program.forward(gpu, &input).expect("runs");
                let off = difference(&found, &expected);
                assert!(off < 1e-4, "{pick}: {off}");
                assert_eq!(program.forward(gpu, &input).expect("runs"), found);
            }
        });
    }

    #[test]
    fn the_faster_tile_is_kept_where_it_is_worthwhile_and_the_usual_one_elsewhere() {
        on_gpu(|gpu| {
            let tiles = Tile::all(&shape(), 16 << 10);
            let mut times = vec![1.0; tiles.len()];
            times[3] = 0.98;
            let mut tuned = Tuned::empty(gpu);
            let trial = judged(gpu, &mut tuned, &shape(), (&tiles, &times)).expect("measured");
            assert_eq!((trial.best, tuned.identity()), (trial.usual, None));
            times[4] = 0.5;
            let trial = judged(gpu, &mut tuned, &shape(), (&tiles, &times)).expect("measured");
            assert_eq!(trial.tried, tiles.len());
            assert!(trial.best_ms < trial.usual_ms && trial.best != trial.usual);
            let limit = gpu.workgroup_bytes();
            assert_eq!(tuned.tile(gpu.storage(), &shape(), limit), Some(tiles[4]));
        });
    }
}
