// Adds the logits of every class of a patch, weighted by importance, to a slab of the grid.
// Host: src/model/stitch.rs. Reference: src/model/logits.rs

struct Params {
    patch_grid: Grid,
    slab_grid: Grid,      // of one class's planes in this slab
    start: vec3<i32>,     // first voxel of the patch within the slab, x y z; it may hang over
    classes: u32,
    mirrored: vec3<u32>,  // along x, y, z: 1 where the patch was reversed
    patch_number: u32,    // from 1; left in `not_finite` where a logit is NaN or infinite
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> importance: array<f32>;       // [z, y, x] of the patch
@group(0) @binding(2) var<storage, read> logits: array<Quad>;          // [classes / 4, z, y, x]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;       // [class, z, y, x] of the slab
@group(0) @binding(4) var<storage, read_write> not_finite: atomic<u32>;

const EXPONENT_BITS: u32 = 0x7f800000u;  // all set in NaN and infinity

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.patch_grid, id) { return; }
    let at = vec3<i32>(id) + params.start;
    if any(at < vec3<i32>(0)) || any(at >= vec3<i32>(params.slab_grid.size)) { return; }
    let size = params.patch_grid.size;
    let voxels = size.x * size.y * size.z;
    let source = index_of(params.patch_grid, select(id, size - 1u - id, params.mirrored == vec3<u32>(1u)));
    let weight = importance[index_of(params.patch_grid, id)];
    let slab = params.slab_grid.size.x * params.slab_grid.size.y * params.slab_grid.size.z;
    let i = index_of(params.slab_grid, vec3<u32>(at));
    for (var channel = 0u; channel < params.classes; channel++) {
        let logit = f32(logits[channel / 4u * voxels + source][channel % 4u]);
        if (bitcast<u32>(logit) & EXPONENT_BITS) == EXPONENT_BITS {
            atomicMax(&not_finite, params.patch_number);
            return;
        }
        sums[channel * slab + i] += weight * logit;
    }
}
