// Cuts a patch of channels from a slab of their grid, some axes mirrored, with zeros beyond the grid.
// Host and reference: src/model/cut.rs

struct Params {
    patch_grid: Grid,
    slab_grid: Grid,      // of one channel's planes in this slab
    start: vec3<i32>,     // first voxel of the patch within the slab, x y z; it may hang over
    channels: u32,
    mirrored: vec3<u32>,  // along x, y, z: 1 where the axis is reversed
    first_plane: i32,     // of the slab on the grid: what lies beside the grid is 0, what lies in another slab is left alone
    planes: i32,          // of the whole grid
    _pad0: u32,
    _pad1: u32,
    _pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;            // [channel, z, y, x] of the slab
@group(0) @binding(2) var<storage, read_write> patch_values: array<f32>; // [channel, z, y, x]

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.patch_grid, id) { return; }
    let size = params.patch_grid.size;
    let at = vec3<i32>(id) + params.start;
    let slab = vec3<i32>(params.slab_grid.size);
    let plane = at.z + params.first_plane;
    let beside = any(at.xy < vec2<i32>(0)) || any(at.xy >= slab.xy) || plane < 0 || plane >= params.planes;
    if !beside && (at.z < 0 || at.z >= slab.z) { return; }
    let to = select(id, size - 1u - id, params.mirrored == vec3<u32>(1u));
    for (var channel = 0u; channel < params.channels; channel++) {
        var value = 0.0;
        if !beside {
            let voxels = params.slab_grid.size.x * params.slab_grid.size.y * params.slab_grid.size.z;
            value = values[channel * voxels + index_of(params.slab_grid, vec3<u32>(at))];
        }
        patch_values[channel * size.x * size.y * size.z + index_of(params.patch_grid, to)] = value;
    }
}
