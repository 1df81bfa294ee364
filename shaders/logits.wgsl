// Interpolates logits linearly, and makes labels or a class's probabilities of them.
// Host: src/preprocess/nnunet/logits.rs; reference: src/preprocess/nnunet/export.rs

struct Params {
    target_grid: Grid,        // the part of the target that is written
    source_grid: Grid,        // the part of the source that is there, of each class
    source_first: vec3<u32>,  // its first voxel
    classes: u32,
    along_first: vec3<u32>,   // element of `along` of the part's first column, row and slice
    regions: u32,             // 1: each class is a region; 0: the largest logit counts
    class_wanted: u32,        // whose probability is wanted
    _pad0: u32,
    _pad1: u32,
    _pad2: u32,
}

// The source voxels that a target voxel lies between, along one axis.
struct Along {
    lower: u32,
    upper: u32,
    t: f32,                   // 0 at the lower, 1 at the upper
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;   // [class, z, y, x]
@group(0) @binding(2) var<storage, read> along: array<Along>;  // of all slices, rows and columns of the target
@group(0) @binding(3) var<storage, read> labels: array<u32>;   // of the regions
@group(0) @binding(4) var<storage, read_write> output: array<u32>; // labels, or the bits of probabilities

// Differences of logits beyond it would overflow exp; the probability is 0 or 1 there anyhow.
const MAX_LOGIT: f32 = 80.0;

struct Place {
    x: Along,
    y: Along,
    z: Along,
}

fn place_of(id: vec3<u32>) -> Place {
    let at = params.along_first + id;
    return Place(along[at.x], along[at.y], along[at.z]);
}

fn blend(a: f32, b: f32, t: f32) -> f32 {
    return (1.0 - t) * a + t * b;
}

// Along z at a column x and a row y of the source.
fn column(first: u32, x: u32, y: u32, z: Along) -> f32 {
    let lower = vec3<u32>(x, y, z.lower) - params.source_first;
    let upper = vec3<u32>(x, y, z.upper) - params.source_first;
    let a = logits[first + index_of(params.source_grid, lower)];
    let b = logits[first + index_of(params.source_grid, upper)];
    return blend(a, b, z.t);
}

fn logit(channel: u32, p: Place) -> f32 {
    let size = params.source_grid.size;
    let first = channel * size.x * size.y * size.z;
    let lower = blend(column(first, p.x.lower, p.y.lower, p.z), column(first, p.x.upper, p.y.lower, p.z), p.x.t);
    let upper = blend(column(first, p.x.lower, p.y.upper, p.z), column(first, p.x.upper, p.y.upper, p.z), p.x.t);
    return blend(lower, upper, p.y.t);
}

@compute @workgroup_size(8, 8, 4)
fn decide(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.target_grid, id) { return; }
    let place = place_of(id);
    var label = 0u;
    var best = 0.0;
    for (var channel = 0u; channel < params.classes; channel++) {
        let value = logit(channel, place);
        if params.regions == 1u {
            if value > 0.0 { label = labels[channel]; }
        } else if channel == 0u || value > best {
            best = value;
            label = channel;
        }
    }
    output[index_of(params.target_grid, id)] = label;
}

fn term(value: f32, own: f32) -> f32 {
    return exp(clamp(value - own, -MAX_LOGIT, MAX_LOGIT));
}

@compute @workgroup_size(8, 8, 4)
fn probability(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.target_grid, id) { return; }
    let place = place_of(id);
    let own = logit(params.class_wanted, place);
    var sum = 1.0;
    if params.regions == 1u {
        sum += term(0.0, own);
    } else {
        for (var channel = 0u; channel < params.classes; channel++) {
            if channel != params.class_wanted { sum += term(logit(channel, place), own); }
        }
    }
    output[index_of(params.target_grid, id)] = bitcast<u32>(1.0 / sum);
}
