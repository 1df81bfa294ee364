// Convolution, or a transposed one whose kernel is its stride, as an implicit matrix product over input channels and taps.
// Host: src/engine/gpu/conv.rs, which sets the constants. Reference: src/engine/reference.rs
//
// Activations lie as [channels / 4][z][y][x] quads of four channels. A group computes TILE_Z × TILE_Y × RUN positions of
// COLUMNS quads of output channels: an invocation a run of RUN positions along x of one quad, in registers. The input is
// normalised and activated as it is staged, a plane of the kernel at a time.

struct Params {
    positions: Grid,      // of the kernel: the output, before a transposed convolution enlarges it
    input_grid: Grid,
    tiles: vec3<u32>,     // along x, y, z
    columns: u32,         // quads of output channels, times the voxels that each position becomes
    up: vec3<u32>,        // voxels along x, y, z that each position becomes
    _pad0: u32,
    quads_a: u32,         // quads of the first input
    quads_b: u32,         // quads of the second, joined to it; 0 where there is none
    norm_a: u32,          // first entry of each input in `norms`
    norm_b: u32,
    slope_a: f32,         // of the leaky ReLU of each input below zero; 1 where it is not activated
    slope_b: f32,
    first_tile_z: u32,    // long layers come in several dispatches
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_a: array<Quad>;
@group(0) @binding(2) var<storage, read> input_b: array<Quad>;
@group(0) @binding(3) var<storage, read> norms: array<vec4<f32>>;     // mean, scale, shift of each quad
@group(0) @binding(4) var<storage, read> weights: array<vec4<f32>>;   // [column][quad in][z][y][x][channel in], then a bias for each quad out
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
@group(0) @binding(6) var<storage, read_write> statistics: array<vec4<f32>>; // [column][tile]: sum, squares around its mean, voxels

const LANES: u32 = TILE_Z * TILE_Y;
const COLUMNS: u32 = 256u / LANES;
const ROWS: u32 = (TILE_Y - 1u) * STRIDE_Y + KERNEL_Y;
const LINE: u32 = (RUN - 1u) * STRIDE_X + KERNEL_X;
const PITCH: u32 = LINE | 1u;    // odd, so that neighbouring rows start in different banks
const PLANE: u32 = ROWS * PITCH;
const STAGED: u32 = TILE_Z * PLANE;
const LINE_WEIGHTS: u32 = KERNEL_X * CHANNELS_IN;
const SLICE_WEIGHTS: u32 = KERNEL_Y * LINE_WEIGHTS;

var<workgroup> staged: array<vec4<f32>, max(DEPTH * STAGED, 256u)>;
var<workgroup> staged_weights: array<vec4<f32>, COLUMNS * DEPTH * SLICE_WEIGHTS>;

// Brings the TILE_Z planes of one input quad that tap `tap_z` of the kernel sees.
fn stage_input(quad: u32, slot: u32, first: vec3<u32>, tap_z: u32, local: u32) {
    let is_b = quad >= params.quads_a;
    let own = select(quad, quad - params.quads_a, is_b);
    let norm = select(params.norm_a, params.norm_b, is_b) + 3u * own;
    let mean = norms[norm];
    let scale = norms[norm + 1u];
    let shift = norms[norm + 2u];
    let slope = select(params.slope_a, params.slope_b, is_b);
    let size = vec3<i32>(params.input_grid.size);
    let start = own * params.input_grid.size.x * params.input_grid.size.y * params.input_grid.size.z;
    let corner = vec3<i32>(first * vec3<u32>(STRIDE_X, STRIDE_Y, STRIDE_Z))
        - vec3<i32>(vec3<u32>(KERNEL_X / 2u, KERNEL_Y / 2u, KERNEL_Z / 2u));
    for (var i = local; i < TILE_Z * ROWS * LINE; i += 256u) {
        let x = i % LINE;
        let y = i / LINE % ROWS;
        let z = i / (LINE * ROWS);
        let at = corner + vec3<i32>(vec3<u32>(x, y, z * STRIDE_Z + tap_z));
        var value = vec4<f32>(0.0);
        if all(at >= vec3<i32>(0)) && all(at < size) {
            let voxel = start + index_of(params.input_grid, vec3<u32>(at));
            if is_b { value = vec4<f32>(input_b[voxel]); } else { value = vec4<f32>(input_a[voxel]); }
            value = (value - mean) * scale + shift;
            value = max(value, value * slope);
        }
        staged[slot * STAGED + z * PLANE + y * PITCH + x] = value;
    }
}

// Brings the weights of DEPTH input quads at tap `tap_z` for the group's columns.
fn stage_weights(quad: u32, tap_z: u32, first_column: u32, local: u32) {
    let quads = params.quads_a + params.quads_b;
    for (var i = local; i < COLUMNS * DEPTH * SLICE_WEIGHTS; i += 256u) {
        let column = first_column + i / (DEPTH * SLICE_WEIGHTS);
        let own = quad + i / SLICE_WEIGHTS % DEPTH;
        var value = vec4<f32>(0.0);
        if column < params.columns && own < quads {
            let slice = (column * quads + own) * KERNEL_Z + tap_z;
            value = weights[slice * SLICE_WEIGHTS + i % SLICE_WEIGHTS];
        }
        staged_weights[i] = value;
    }
}

// Sum of `value` over the lanes of a column, the same for all of them.
fn total(value: vec4<f32>, local: u32) -> vec4<f32> {
    workgroupBarrier();
    staged[local] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % LANES < half { staged[local] += staged[local + half]; }
    }
    workgroupBarrier();
    return staged[local - local % LANES];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = vec3<u32>(group.x % params.tiles.x, group.x / params.tiles.x, group.y + params.first_tile_z);
    let first = tile * vec3<u32>(RUN, TILE_Y, TILE_Z);
    let lane = vec2<u32>(local % TILE_Y, local / TILE_Y % TILE_Z);
    let own_column = local / LANES;
    let first_column = group.z * COLUMNS;
    let column = first_column + own_column;
    let quads = params.quads_a + params.quads_b;
    let taps_up = params.up.x * params.up.y * params.up.z;

    var sums: array<vec4<f32>, RUN>;
    var bias = vec4<f32>(0.0);
    if column < params.columns {
        bias = weights[params.columns * quads * KERNEL_Z * SLICE_WEIGHTS + column / taps_up];
    }
    for (var i = 0u; i < RUN; i++) { sums[i] = bias; }

    for (var quad = 0u; quad < quads; quad += DEPTH) {
        for (var tap_z = 0u; tap_z < KERNEL_Z; tap_z++) {
            workgroupBarrier();
            for (var slot = 0u; slot < DEPTH; slot++) {
                // Beyond the last quad the weights are 0, but what they meet must be finite.
                stage_input(min(quad + slot, quads - 1u), slot, first, tap_z, local);
            }
            stage_weights(quad, tap_z, first_column, local);
            workgroupBarrier();
            for (var slot = 0u; slot < DEPTH; slot++) {
                for (var tap_y = 0u; tap_y < KERNEL_Y; tap_y++) {
                    let row = slot * STAGED + lane.y * PLANE + (lane.x * STRIDE_Y + tap_y) * PITCH;
                    var line: array<vec4<f32>, LINE>;
                    for (var i = 0u; i < LINE; i++) { line[i] = staged[row + i]; }
                    let slice = (own_column * DEPTH + slot) * SLICE_WEIGHTS + tap_y * LINE_WEIGHTS;
                    for (var tap_x = 0u; tap_x < KERNEL_X; tap_x++) {
                        for (var channel = 0u; channel < CHANNELS_IN; channel++) {
                            let weight = staged_weights[slice + tap_x * CHANNELS_IN + channel];
                            for (var i = 0u; i < RUN; i++) {
                                sums[i] = fma(vec4<f32>(line[i * STRIDE_X + tap_x][channel]), weight, sums[i]);
                            }
                        }
                    }
                }
            }
        }
    }

    let place = first + vec3<u32>(0u, lane.x, lane.y);
    let in_column = column < params.columns && place.y < params.positions.size.y && place.z < params.positions.size.z;
    let valid = select(0u, min(RUN, params.positions.size.x - place.x), in_column);
    let size = params.positions.size * params.up;
    let tap = column % taps_up;
    let shift = vec3<u32>(tap % params.up.x, tap / params.up.x % params.up.y, tap / (params.up.x * params.up.y));
    let at = place * params.up + shift;
    let start = ((column / taps_up * size.z + at.z) * size.y + at.y) * size.x + at.x;
    for (var i = 0u; i < RUN; i++) {
        if i < valid { output[start + i * params.up.x] = Quad(sums[i]); }
    }

    if WITH_STATISTICS == 1u {
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < RUN; i++) { sum += select(vec4<f32>(0.0), sums[i], i < valid); }
        sum = total(sum, local);
        let voxels = min(vec3<u32>(RUN, TILE_Y, TILE_Z), params.positions.size - first);
        let count = f32(voxels.x * voxels.y * voxels.z);
        let mean = sum / count;
        var squares = vec4<f32>(0.0);
        for (var i = 0u; i < RUN; i++) {
            let difference = sums[i] - mean;
            squares += select(vec4<f32>(0.0), difference * difference, i < valid);
        }
        squares = total(squares, local);
        if local % LANES == 0u && column < params.columns {
            let number = (tile.z * params.tiles.y + tile.y) * params.tiles.x + tile.x;
            let entry = 3u * (column * params.tiles.x * params.tiles.y * params.tiles.z + number);
            statistics[entry] = sum;
            statistics[entry + 1u] = squares;
            statistics[entry + 2u] = vec4<f32>(count);
        }
    }
}
