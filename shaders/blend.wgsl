// Adds a patch's probabilities, weighted by importance, to a slab of the volume.
// Host and reference: src/model/blend.rs

struct Params {
    patch_grid: Grid,    // size of the patch in voxels, x y z
    slab_grid: Grid,     // size of the slab
    start: vec3<i32>,    // first voxel of the patch within the slab, x y z; it may hang over
    patch_number: u32,   // from 1; left in `not_finite` where a logit is NaN or infinite
    classes: u32,
    channel: u32,
    is_softmax: u32,     // 0: sigmoid
    _pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> importance: array<f32>;          // along z, then y, then x of the patch
@group(0) @binding(2) var<storage, read> logits: array<Quad>;             // [classes / 4, z, y, x]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> not_finite: atomic<u32>;

const EXPONENT_BITS: u32 = 0x7f800000u;  // all set in NaN and infinity
const MAX_LOGIT: f32 = 80.0;

fn term(other: f32, own: f32) -> f32 {
    return exp(clamp(other - own, -MAX_LOGIT, MAX_LOGIT));
}

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.patch_grid, id) { return; }
    let at = vec3<i32>(id) + params.start;
    if any(at < vec3<i32>(0)) || any(at >= vec3<i32>(params.slab_grid.size)) { return; }
    let size = params.patch_grid.size;
    let voxels = size.x * size.y * size.z;
    let voxel = index_of(params.patch_grid, id);
    let own = f32(logits[params.channel / 4u * voxels + voxel][params.channel % 4u]);
    var sum = select(1.0 + term(0.0, own), 0.0, params.is_softmax == 1u);
    for (var k = 0u; k < params.classes; k++) {
        let logit = f32(logits[k / 4u * voxels + voxel][k % 4u]);
        if (bitcast<u32>(logit) & EXPONENT_BITS) == EXPONENT_BITS {
            atomicMax(&not_finite, params.patch_number);
            return;
        }
        if params.is_softmax == 1u { sum += term(logit, own); }
    }
    let weight = importance[id.z] * importance[size.z + id.y] * importance[size.z + size.y + id.x];
    let i = index_of(params.slab_grid, vec3<u32>(at));
    sums[i] += weight * (1.0 / sum);
    weights[i] += weight;
}
