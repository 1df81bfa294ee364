// Marks voxels that hold nothing but padding.
// Host and reference: src/preprocess/padding.rs

struct Params {
    grid: Grid,
    below_hu: f32,
    _pad0: u32,
    _pad1: u32,
    _pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_hu: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;  // 1 where padding

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    output[i] = u32(input_hu[i] < params.below_hu);
}
