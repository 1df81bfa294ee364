// Marks air that lies far enough from padding to be no effect of smoothing.
// Host and reference: src/preprocess/air.rs

struct Params {
    grid: Grid,
    below_hu: f32,
    reach_squared: u32,  // squared voxels
    _pad0: u32,
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_hu: array<f32>;
@group(0) @binding(2) var<storage, read> padding_distance: array<u32>;  // squared voxels
@group(0) @binding(3) var<storage, read_write> output: array<u32>;      // 1 where air

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    output[i] = u32(input_hu[i] < params.below_hu && padding_distance[i] > params.reach_squared);
}
