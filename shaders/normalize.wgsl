// Cuts a patch, clips it to the model's intensity window and scales it.
// Host and reference: src/preprocess/normalize.rs

struct Params {
    patch_grid: Grid,
    source_grid: Grid,   // the whole grid that the patch is cut from
    origin: vec3<i32>,   // source index of the patch's first voxel, x y z; may lie outside
    slab_first: u32,     // source_hu holds the slices slab_first..slab_end
    slab_end: u32,
    lower_hu: f32,
    upper_hu: f32,
    subtract_hu: f32,
    divide_hu: f32,
    outside_hu: f32,
    repeats_edge: u32,   // 1: outside lies the nearest voxel instead of outside_hu
    _pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source_hu: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.patch_grid, id) { return; }
    let wanted = params.origin + vec3<i32>(id);
    let nearest = clamp_to_edge(params.source_grid, wanted);
    if nearest.z < params.slab_first || nearest.z >= params.slab_end { return; }
    var hu = params.outside_hu;
    if params.repeats_edge == 1u || all(wanted == vec3<i32>(nearest)) {
        let loaded = vec3<u32>(nearest.xy, nearest.z - params.slab_first);
        hu = source_hu[index_of(params.source_grid, loaded)];
    }
    let clipped = clamp(hu, params.lower_hu, params.upper_hu);
    output[index_of(params.patch_grid, id)] = (clipped - params.subtract_hu) / params.divide_hu;
}
