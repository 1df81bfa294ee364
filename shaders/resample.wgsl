// Reads a source volume at the voxel centres of a target grid, through a full affine.
// Host and reference: src/preprocess/resample.rs

struct Params {
    output_grid: Grid,        // this slab of the target
    source_grid: Grid,        // the whole source
    to_source_x: vec4<f32>,   // rows of the affine from target index (x, y, z, 1) to source index
    to_source_y: vec4<f32>,
    to_source_z: vec4<f32>,
    reach: vec4<f32>,         // x, y, z: so far beyond the centres of its outer voxels the source is read
    output_first: u32,        // target slice at the start of output_hu
    loaded_first: u32,        // source slice at the start of source_hu
    owned_first: u32,         // a target voxel is written if its base slice lies in owned_first..owned_end
    owned_end: u32,
    cubic: u32,               // 1: Catmull-Rom, 0: trilinear
    outside: f32,
    uneven: u32,              // 1: slice_positions says where the source slices lie along z
    _pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source_hu: array<f32>;
@group(0) @binding(2) var<storage, read> slice_positions: array<f32>;  // ascending
@group(0) @binding(3) var<storage, read_write> output_hu: array<f32>;

fn row_times(row: vec4<f32>, p: vec3<f32>) -> f32 {
    return row.x * p.x + row.y * p.y + row.z * p.z + row.w;
}

// The fractional slice number at a z index of the source grid; beyond the ends the outer gaps go on.
fn slice_at(z: f32) -> f32 {
    if params.uneven == 0u { return z; }
    var below = 0u;
    var above = params.source_grid.size.z - 1u;
    while above - below > 1u {
        let middle = (below + above) / 2u;
        if slice_positions[middle] <= z {
            below = middle;
        } else {
            above = middle;
        }
    }
    let gap = slice_positions[below + 1u] - slice_positions[below];
    return f32(below) + (z - slice_positions[below]) / gap;
}

fn hu_at(index: vec3<i32>) -> f32 {
    let inside = clamp_to_edge(params.source_grid, index);
    let loaded = vec3<u32>(inside.xy, inside.z - params.loaded_first);
    return source_hu[index_of(params.source_grid, loaded)];
}

fn linear_column(base: vec3<i32>, dx: i32, dz: i32, t: f32) -> f32 {
    return blend(hu_at(base + vec3<i32>(dx, 0, dz)), hu_at(base + vec3<i32>(dx, 1, dz)), t);
}

// Along y, then x, then z, as the reference does.
fn trilinear(base: vec3<i32>, t: vec3<f32>) -> f32 {
    let below = blend(linear_column(base, 0, 0, t.y), linear_column(base, 1, 0, t.y), t.x);
    let above = blend(linear_column(base, 0, 1, t.y), linear_column(base, 1, 1, t.y), t.x);
    return blend(below, above, t.z);
}

fn cubic_column(base: vec3<i32>, dx: i32, dz: i32, w: vec4<f32>) -> f32 {
    return w.x * hu_at(base + vec3<i32>(dx, -1, dz))
        + w.y * hu_at(base + vec3<i32>(dx, 0, dz))
        + w.z * hu_at(base + vec3<i32>(dx, 1, dz))
        + w.w * hu_at(base + vec3<i32>(dx, 2, dz));
}

fn cubic(base: vec3<i32>, t: vec3<f32>) -> f32 {
    let wx = cubic_weights(t.x);
    let wy = cubic_weights(t.y);
    // Between uneven slices values are linear.
    let wz = select(cubic_weights(t.z), vec4<f32>(0.0, 1.0 - t.z, t.z, 0.0), params.uneven == 1u);
    var sum = 0.0;
    for (var i = 0; i < 4; i++) {
        let plane = wx.x * cubic_column(base, -1, i - 1, wy)
            + wx.y * cubic_column(base, 0, i - 1, wy)
            + wx.z * cubic_column(base, 1, i - 1, wy)
            + wx.w * cubic_column(base, 2, i - 1, wy);
        sum += wz[i] * plane;
    }
    return sum;
}

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.output_grid, id) { return; }
    let p = vec3<f32>(vec3<u32>(id.xy, id.z + params.output_first));
    let at = vec3<f32>(
        row_times(params.to_source_x, p),
        row_times(params.to_source_y, p),
        slice_at(row_times(params.to_source_z, p)),
    );
    let last = vec3<f32>(params.source_grid.size) - 1.0;
    let clamped = clamp(at, vec3<f32>(0.0), last);
    let base = floor(clamped);
    let slice = u32(base.z);
    if slice < params.owned_first || slice >= params.owned_end { return; }
    let t = clamped - base;
    var hu = params.outside;
    if all(at >= -params.reach.xyz) && all(at <= last + params.reach.xyz) {
        if params.cubic == 1u {
            hu = cubic(vec3<i32>(base), t);
        } else {
            hu = trilinear(vec3<i32>(base), t);
        }
    }
    output_hu[index_of(params.output_grid, id)] = hu;
}
