// Instance norm: joins the statistics of a layer's tiles, in a fixed order, to what normalises each quad of channels.
// Host: src/engine/gpu/norm.rs. Reference: src/engine/reference.rs

struct Params {
    tiles: u32,          // entries of each quad in `statistics`
    first: u32,          // first entry of the layer in `norms`
    quads: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> statistics: array<vec4<f32>>; // [quad][tile]: sum, squares around its mean, voxels
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;     // gamma of each quad, then beta
@group(0) @binding(3) var<storage, read_write> norms: array<vec4<f32>>; // mean, scale, shift of each quad

var<workgroup> partial: array<vec4<f32>, 256>;

fn total(value: vec4<f32>, local: u32) -> vec4<f32> {
    workgroupBarrier();
    partial[local] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half { partial[local] += partial[local + half]; }
    }
    workgroupBarrier();
    return partial[0];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let quad = group.x;
    let start = 3u * quad * params.tiles;
    var sum = vec4<f32>(0.0);
    var count = vec4<f32>(0.0);
    for (var tile = local; tile < params.tiles; tile += 256u) {
        sum += statistics[start + 3u * tile];
        count += statistics[start + 3u * tile + 2u];
    }
    let voxels = total(count, local);
    let mean = total(sum, local) / voxels;
    var squares = vec4<f32>(0.0);
    for (var tile = local; tile < params.tiles; tile += 256u) {
        let own = statistics[start + 3u * tile + 2u];
        let difference = statistics[start + 3u * tile] / own - mean;
        squares += statistics[start + 3u * tile + 1u] + own * difference * difference;
    }
    let variance = total(squares, local) / voxels;
    if local == 0u {
        let entry = params.first + 3u * quad;
        norms[entry] = mean;
        norms[entry + 1u] = affine[quad] / sqrt(variance + vec4<f32>(params.epsilon));
        norms[entry + 2u] = affine[params.quads + quad];
    }
}
