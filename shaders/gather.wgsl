// Weighted sums of neighbours along one axis, clipped after the last: cubic splines, linear, nearest.
// Host: src/preprocess/nnunet/gather.rs; reference: src/preprocess/nnunet/resize.rs

struct Params {
    output_grid: Grid,        // what is written, from voxel output_offset of output on
    input_grid: Grid,         // as the output but along the axis
    step: vec3<u32>,          // one voxel along the axis
    taps: u32,                // neighbours of an output voxel
    clip_step: vec3<u32>,     // one voxel along the axis of the ranges; zero where there is but one range
    clip_first: u32,          // range of the output's first voxel
    output_first: u32,        // row of the tables of the output's first voxel
    input_first: u32,         // number of the input's first voxel along the axis
    output_offset: u32,
    clips: u32,               // 1: clip, 0: do not
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> firsts: array<u32>;       // a row: number of the first neighbour
@group(0) @binding(3) var<storage, read> weights: array<f32>;      // a row: weights of its neighbours
@group(0) @binding(4) var<storage, read> ranges: array<vec2<f32>>; // lowest and highest
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.output_grid, id) { return; }
    let along = dot(id, params.step);
    let row = params.output_first + along;
    let first = firsts[row] - params.input_first;
    let start = id - along * params.step + first * params.step;
    let stride = index_of(params.input_grid, params.step);
    var at = index_of(params.input_grid, start);
    var sum = 0.0;
    for (var k = 0u; k < params.taps; k++) {
        sum += weights[row * params.taps + k] * input[at];
        at += stride;
    }
    if params.clips == 1u {
        let range = ranges[params.clip_first + dot(id, params.clip_step)];
        sum = clamp(sum, range.x, range.y);
    }
    output[params.output_offset + index_of(params.output_grid, id)] = sum;
}
