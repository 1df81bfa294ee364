// Multiply-adds in registers, as many at once as hide their latency: the most that a GPU computes.
// Host and reference: src/engine/gpu/peak.rs

struct Params {
    rounds: u32,
    factor: f32,         // known at run time only, so that nothing is computed beforehand
    summand: f32,
    _pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

const STRANDS: u32 = 8u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let factor = vec4<f32>(params.factor);
    let summand = vec4<f32>(params.summand);
    var sums: array<vec4<f32>, STRANDS>;
    for (var i = 0u; i < STRANDS; i++) { sums[i] = vec4<f32>(f32(i)); }
    for (var round = 0u; round < params.rounds; round++) {
        for (var i = 0u; i < STRANDS; i++) { sums[i] = fma(sums[i], factor, summand); }
    }
    var total = vec4<f32>(0.0);
    for (var i = 0u; i < STRANDS; i++) { total += sums[i]; }
    output[id.x] = total;
}
