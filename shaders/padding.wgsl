// Marks voxels that hold nothing but padding.
// Host and reference: src/preprocess/padding.rs

struct Params {
    voxels: u32,
    below_hu: f32,
    _pad0: u32,
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_hu: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;  // 1 where padding

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, GROUP_SIZE);
    if i >= params.voxels { return; }
    output[i] = u32(input_hu[i] < params.below_hu);
}
