// Divides sums of weighted probabilities by their weights.
// Host and reference: src/model/divide.rs

struct Params {
    voxels: u32,
    _pad0: u32,
    _pad1: u32,
    _pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;  // in: sums, out: probabilities

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, GROUP_SIZE);
    if i >= params.voxels { return; }
    if weights[i] > 0.0 {
        sums[i] = sums[i] / weights[i];
    } else {
        sums[i] = 0.0;
    }
}
