// Turns stored pixel values, two 16-bit samples a word, into HU, or SUV where the slopes lead to it.
// Host and reference: src/preprocess/rescale.rs

struct Params {
    grid: Grid,          // the slices handed over
    is_signed: u32,      // 1: two's complement
    padding_first: i32,  // stored values from first to last are padding; none where first > last
    padding_last: i32,
    padding_value: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> samples: array<u32>;
@group(0) @binding(2) var<storage, read> slope_intercept: array<vec2<f32>>;  // one a slice
@group(0) @binding(3) var<storage, read_write> output_hu: array<f32>;

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, GROUP_SIZE);
    let size = params.grid.size;
    if i >= size.x * size.y * size.z { return; }
    let word = samples[i >> 1u];
    let shift = (i & 1u) * 16u;
    let unsigned_value = i32(extractBits(word, shift, 16u));
    let signed_value = extractBits(bitcast<i32>(word), shift, 16u);
    let stored = select(unsigned_value, signed_value, params.is_signed == 1u);
    if stored >= params.padding_first && stored <= params.padding_last {
        output_hu[i] = params.padding_value;
        return;
    }
    let line = slope_intercept[i / (size.x * size.y)];
    output_hu[i] = f32(stored) * line.x + line.y;
}
