// Convolution, or a transposed one whose kernel is its stride, on the matrix units of a GPU.
// Host: src/engine/gpu/matrix.rs, which sets the constants. Reference: src/engine/reference.rs
//
// Activations lie as in conv3d.wgsl. A group computes TILE_Z × TILE_Y lines of MATRIX positions along x, for BLOCK_N
// matrices of output channels; each of SUBGROUPS subgroups has BLOCK_M of the lines, all in registers. A step of the sum is
// DEPTH quads of input channels at one plane of the kernel. Its input is fetched while the step before is multiplied, then
// normalised, activated and staged once: every tap reads the same lines, shifted. Weights lie as they are taken.

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
@group(0) @binding(3) var<storage, read> norms: array<vec4<f32>>;   // mean, scale, shift of each quad
@group(0) @binding(4) var<storage, read> weights: array<Quad>;      // [group][step][matrix in][y][x][matrix out][channel in][quad out]
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;    // of each quad out
@group(0) @binding(6) var<storage, read_write> output: array<Quad>;
@group(0) @binding(7) var<storage, read_write> statistics: array<vec4<f32>>; // [column][tile]: sum, squares around its mean, voxels

const INVOCATIONS: u32 = 256u;
const LINES: u32 = TILE_Z * TILE_Y;
const BLOCK_M: u32 = LINES / SUBGROUPS;
const POSITIONS: u32 = LINES * MATRIX;
const QUADS: u32 = MATRIX / 4u;              // of a line of a matrix
const ELEMENTS: u32 = MATRIX * QUADS;        // quads of a matrix
const ROWS: u32 = (TILE_Y - 1u) * STRIDE_Y + KERNEL_Y;
const LINE: u32 = (MATRIX - 1u) * STRIDE_X + KERNEL_X;
const STAGED: u32 = TILE_Z * ROWS * LINE;    // voxels
const FETCHED: u32 = (STAGED * DEPTH + INVOCATIONS - 1u) / INVOCATIONS;
const TAPS: u32 = KERNEL_Y * KERNEL_X;
const LANES: u32 = INVOCATIONS / QUADS;      // invocations that write one quad of a matrix
const EACH: u32 = (POSITIONS + LANES - 1u) / LANES;
const PARTS: u32 = 8u;                       // partial sums of LANES

var<workgroup> staged: array<Quad, STAGED * PITCH>;
var<workgroup> sums: array<vec4<f32>, max(POSITIONS * QUADS, INVOCATIONS)>;
var<private> fetched: array<Quad, FETCHED>;

// Where one value to be staged comes from.
struct Source {
    inside: bool,    // else it is padding, which is 0
    is_b: bool,
    quad: u32,       // of its input
    at: u32,
}

fn source_of(item: u32, step: u32, first: vec3<u32>) -> Source {
    let voxel = item % STAGED;
    let quad = step / KERNEL_Z * DEPTH + item / STAGED;
    let size = params.input_grid.size;
    let offset = vec3<u32>(voxel % LINE, voxel / LINE % ROWS, voxel / (LINE * ROWS) * STRIDE_Z + step % KERNEL_Z);
    let at = vec3<i32>(first * vec3<u32>(STRIDE_X, STRIDE_Y, STRIDE_Z) + offset)
        - vec3<i32>(vec3<u32>(KERNEL_X / 2u, KERNEL_Y / 2u, KERNEL_Z / 2u));
    var source: Source;
    source.is_b = quad >= params.quads_a;
    source.quad = select(quad, quad - params.quads_a, source.is_b);
    source.inside = quad < params.quads_a + params.quads_b && all(at >= vec3<i32>(0)) && all(at < vec3<i32>(size));
    source.at = source.quad * size.x * size.y * size.z + index_of(params.input_grid, vec3<u32>(at));
    return source;
}

// Asks memory for what `stage` will need.
fn fetch(step: u32, first: vec3<u32>, local: u32) {
    for (var i = 0u; i < FETCHED; i++) {
        let item = local + i * INVOCATIONS;
        let source = source_of(item, step, first);
        var value = Quad();
        if item < STAGED * DEPTH && source.inside {
            if source.is_b { value = input_b[source.at]; } else { value = input_a[source.at]; }
        }
        fetched[i] = value;
    }
}

fn stage(step: u32, first: vec3<u32>, local: u32) {
    for (var i = 0u; i < FETCHED; i++) {
        let item = local + i * INVOCATIONS;
        if item < STAGED * DEPTH {
            let source = source_of(item, step, first);
            var value = vec4<f32>(0.0);
            if source.inside {
                let norm = select(params.norm_a, params.norm_b, source.is_b) + 3u * source.quad;
                let slope = select(params.slope_a, params.slope_b, source.is_b);
                value = (vec4<f32>(fetched[i]) - norms[norm]) * norms[norm + 1u] + norms[norm + 2u];
                value = max(value, value * slope);
            }
            staged[item % STAGED * PITCH + item / STAGED] = Quad(value);
        }
    }
}

fn place_of(position: u32, first: vec3<u32>) -> vec3<u32> {
    let line = position / MATRIX;
    return first + vec3<u32>(position % MATRIX, line % TILE_Y, line / TILE_Y);
}

// Sum of `value` over the lanes of a quad, the same for all of them.
fn total(value: vec4<f32>, local: u32) -> vec4<f32> {
    let lane = local % LANES;
    workgroupBarrier();
    sums[local] = value;
    workgroupBarrier();
    if lane < PARTS {
        var part = value;
        for (var i = PARTS; i < LANES; i += PARTS) { part += sums[local + i]; }
        sums[local] = part;
    }
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < PARTS; i++) { sum += sums[local - lane + i]; }
    return sum;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let tile = vec3<u32>(group.x % params.tiles.x, group.x / params.tiles.x, group.y + params.first_tile_z);
    let first = tile * vec3<u32>(MATRIX, TILE_Y, TILE_Z);
    // Where subgroups are smaller than the host must expect, those beyond the last repeat its work, and store nothing.
    let first_line = min(subgroup, SUBGROUPS - 1u) * BLOCK_M;

    var products: array<Sums, BLOCK_M * BLOCK_N>;
    let steps = (params.quads_a + params.quads_b + DEPTH - 1u) / DEPTH * KERNEL_Z;
    var weight = group.z * steps * (DEPTH / QUADS * TAPS * BLOCK_N * ELEMENTS);
    fetch(0u, first, local);
    for (var step = 0u; step < steps; step++) {
        workgroupBarrier();
        stage(step, first, local);
        workgroupBarrier();
        if step + 1u < steps { fetch(step + 1u, first, local); }
        for (var depth = 0u; depth < DEPTH; depth += QUADS) {
            for (var tap = 0u; tap < TAPS; tap++) {
                var right: array<Right, BLOCK_N>;
                for (var n = 0u; n < BLOCK_N; n++) {
                    right[n] = coopLoadT<Right>(&weights[weight + n * ELEMENTS], QUADS);
                }
                weight += BLOCK_N * ELEMENTS;
                for (var m = 0u; m < BLOCK_M; m++) {
                    let line = first_line + m;
                    let row = line / TILE_Y * ROWS + line % TILE_Y * STRIDE_Y + tap / KERNEL_X;
                    let voxel = row * LINE + tap % KERNEL_X;
                    let left = coopLoadT<Left>(&staged[voxel * PITCH + depth], STRIDE_X * PITCH);
                    for (var n = 0u; n < BLOCK_N; n++) {
                        let i = m * BLOCK_N + n;
                        products[i] = coopMultiplyAdd(left, right[n], products[i]);
                    }
                }
            }
        }
    }

    let lane = local % LANES;
    let taps_up = params.up.x * params.up.y * params.up.z;
    let size = params.positions.size * params.up;
    for (var n = 0u; n < BLOCK_N; n++) {
        workgroupBarrier();
        if subgroup < SUBGROUPS {
            for (var m = 0u; m < BLOCK_M; m++) {
                coopStoreT(products[m * BLOCK_N + n], &sums[(first_line + m) * ELEMENTS], QUADS);
            }
        }
        workgroupBarrier();
        let column = (group.z * BLOCK_N + n) * QUADS + local / LANES;
        let quad = column / taps_up;
        let tap = column % taps_up;
        let shift = vec3<u32>(tap % params.up.x, tap / params.up.x % params.up.y, tap / (params.up.x * params.up.y));
        var values: array<vec4<f32>, EACH>;
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < EACH; i++) {
            let position = i * LANES + lane;
            let place = place_of(position, first);
            if position < POSITIONS && column < params.columns && in_grid(params.positions, place) {
                values[i] = sums[position * QUADS + local / LANES] + bias[quad];
                sum += values[i];
                let at = place * params.up + shift;
                output[((quad * size.z + at.z) * size.y + at.y) * size.x + at.x] = Quad(values[i]);
            }
        }
        if WITH_STATISTICS == 1u {
            sum = total(sum, local);
            let voxels = min(vec3<u32>(MATRIX, TILE_Y, TILE_Z), params.positions.size - first);
            let count = f32(voxels.x * voxels.y * voxels.z);
            let mean = sum / count;
            var squares = vec4<f32>(0.0);
            for (var i = 0u; i < EACH; i++) {
                let position = i * LANES + lane;
                let difference = values[i] - mean;
                let valid = position < POSITIONS && in_grid(params.positions, place_of(position, first));
                squares += select(vec4<f32>(0.0), difference * difference, valid);
            }
            squares = total(squares, local);
            if lane == 0u && column < params.columns {
                let number = (tile.z * params.tiles.y + tile.y) * params.tiles.x + tile.x;
                let entry = 3u * (column * params.tiles.x * params.tiles.y * params.tiles.z + number);
                statistics[entry] = sum;
                statistics[entry + 1u] = squares;
                statistics[entry + 2u] = vec4<f32>(count);
            }
        }
    }
}
