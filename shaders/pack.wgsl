// Brings channels [channels, z, y, x] into quads [channels / 4, z, y, x]; a quad's channels beyond the last are 0.
// Host and reference: src/engine/gpu/pack.rs

struct Params {
    voxels: u32,
    channels: u32,
    _pad0: u32,
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> channels: array<f32>;
@group(0) @binding(2) var<storage, read_write> quads: array<Quad>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups, 256u);
    let quad = i / params.voxels;
    if 4u * quad >= params.channels { return; }
    var value = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let channel = 4u * quad + lane;
        if channel < params.channels { value[lane] = channels[channel * params.voxels + i % params.voxels]; }
    }
    quads[i] = Quad(value);
}
