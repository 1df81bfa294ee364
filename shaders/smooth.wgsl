// Gaussian smoothing along one axis, edges clamped.
// Host and reference: src/preprocess/smooth.rs

struct Params {
    grid: Grid,
    step: vec3<i32>,     // one voxel along the axis, x y z
    radius: i32,         // taps on each side, voxels
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_hu: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;  // of distance 0, 1, … radius
@group(0) @binding(3) var<storage, read_write> output_hu: array<f32>;

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    var sum = 0.0;
    for (var k = -params.radius; k <= params.radius; k++) {
        let tap = clamp_to_edge(params.grid, vec3<i32>(id) + k * params.step);
        sum += weights[abs(k)] * input_hu[index_of(params.grid, tap)];
    }
    output_hu[index_of(params.grid, id)] = sum;
}
