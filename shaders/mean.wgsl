// Takes the logits of one more network of an ensemble into their mean.
// Host and reference: src/model/mean.rs

struct Params {
    quads: u32,          // of all classes
    number: u32,         // of the network, from 1; those before it are in the mean
    _pad0: u32,
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Quad>;
@group(0) @binding(2) var<storage, read_write> mean: array<Quad>;

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, GROUP_SIZE);
    if i >= params.quads { return; }
    let before = vec4<f32>(mean[i]);
    mean[i] = Quad(before + (vec4<f32>(logits[i]) - before) / f32(params.number));
}
