// Connected components by union-find: each voxel points at an earlier voxel of its component, the first at itself.
// Host and reference: src/preprocess/label.rs

struct Params {
    grid: Grid,
    corners: u32,        // 1: 26 neighbours, 0: 6
    _pad0: u32,
    _pad1: u32,
    _pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<u32>;                   // inside where not 0
@group(0) @binding(2) var<storage, read_write> labels: array<atomic<u32>>;   // 1 + voxel pointed at, 0 outside

// Neighbours that come earlier in storage order, of 27 with the voxel itself in the middle.
const EARLIER: u32 = 13u;

// First voxel known of a component; shortens the way there. Only pointers to earlier voxels are ever written, so no
// order of the threads can close a circle.
fn root_of(voxel: u32) -> u32 {
    var i = voxel;
    loop {
        let next = atomicLoad(&labels[i]) - 1u;
        if next == i { return i; }
        let after = atomicLoad(&labels[next]) - 1u;
        atomicMin(&labels[i], after + 1u);
        i = after;
    }
    return i;
}

fn unite(a: u32, b: u32) {
    var first = root_of(a);
    var second = root_of(b);
    while first != second {
        let low = min(first, second);
        let high = max(first, second);
        let pointed_at = atomicMin(&labels[high], low + 1u) - 1u;
        if pointed_at == high { return; }
        // Another thread had tied `high` elsewhere meanwhile: both ends belong together.
        first = root_of(low);
        second = root_of(pointed_at);
    }
}

@compute @workgroup_size(32, 4, 2)
fn start(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    atomicStore(&labels[i], select(0u, i + 1u, mask[i] != 0u));
}

@compute @workgroup_size(32, 4, 2)
fn join(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    if mask[i] == 0u { return; }
    for (var n = 0u; n < EARLIER; n++) {
        let step = vec3<i32>(i32(n % 3u), i32(n / 3u % 3u), i32(n / 9u)) - 1;
        let axes = abs(step.x) + abs(step.y) + abs(step.z);
        // A step below 0 wraps to a number beyond any grid.
        let neighbour = vec3<u32>(vec3<i32>(id) + step);
        if (axes > 1 && params.corners == 0u) || !in_grid(params.grid, neighbour) { continue; }
        let j = index_of(params.grid, neighbour);
        if mask[j] != 0u {
            unite(i, j);
        }
    }
}

@compute @workgroup_size(32, 4, 2)
fn finish(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    if mask[i] == 0u { return; }
    atomicStore(&labels[i], root_of(i) + 1u);
}
