// The sum of a residual block's branches, activated: each branch is normalised and activated as it is read.
// Host: src/engine/gpu/sum.rs. Reference: src/engine/reference.rs

struct Params {
    voxels: u32,
    quads: u32,
    norm_a: u32,          // first entry of each branch in `norms`
    norm_b: u32,
    slope_a: f32,         // of the leaky ReLU of each branch below zero; 1 where it is not activated
    slope_b: f32,
    slope: f32,           // of the sum's
    _pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> branch_a: array<Quad>;
@group(0) @binding(2) var<storage, read> branch_b: array<Quad>;
@group(0) @binding(3) var<storage, read> norms: array<vec4<f32>>;     // mean, scale, shift of each quad
@group(0) @binding(4) var<storage, read_write> output: array<Quad>;

fn normalised(value: vec4<f32>, norm: u32, slope: f32) -> vec4<f32> {
    let normed = (value - norms[norm]) * norms[norm + 1u] + norms[norm + 2u];
    return max(normed, normed * slope);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, 256u);
    let quad = i / params.voxels;
    if quad >= params.quads { return; }
    let a = normalised(vec4<f32>(branch_a[i]), params.norm_a + 3u * quad, params.slope_a);
    let b = normalised(vec4<f32>(branch_b[i]), params.norm_b + 3u * quad, params.slope_b);
    output[i] = Quad(max(a + b, (a + b) * params.slope));
}
