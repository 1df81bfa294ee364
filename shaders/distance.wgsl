// Squared Euclidean distance to the nearest seed, exact up to a radius; one axis per dispatch.
// Host and reference: src/preprocess/distance.rs

struct Params {
    grid: Grid,
    first_seed: u32,     // values from first to last mark seeds
    last_seed: u32,
    radius_voxels: u32,
    axis: u32,           // 0 x, 1 y, 2 z
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;         // along_x: values; across_rows: squared voxels
@group(0) @binding(2) var<storage, read_write> output: array<u32>;  // squared voxels

fn is_seed(i: u32) -> bool {
    return input[i] >= params.first_seed && input[i] <= params.last_seed;
}

@compute @workgroup_size(32, 4, 2)
fn along_x(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    for (var step = 0u; step <= params.radius_voxels; step++) {
        let before = step <= id.x && is_seed(i - min(step, id.x));
        let after = step < params.grid.size.x - id.x && is_seed(i + step);
        if before || after {
            output[i] = step * step;
            return;
        }
    }
    output[i] = params.radius_voxels * params.radius_voxels + 1u;
}

@compute @workgroup_size(32, 4, 2)
fn across_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    if !in_grid(params.grid, id) { return; }
    let i = index_of(params.grid, id);
    let stride = select(params.grid.size.x, params.grid.size.x * params.grid.size.y, params.axis == 2u);
    let place = select(id.y, id.z, params.axis == 2u);
    let size = select(params.grid.size.y, params.grid.size.z, params.axis == 2u);
    var nearest = input[i];
    for (var step = 1u; step <= params.radius_voxels; step++) {
        if step <= place {
            nearest = min(nearest, input[i - step * stride] + step * step);
        }
        if step < size - place {
            nearest = min(nearest, input[i + step * stride] + step * step);
        }
    }
    output[i] = nearest;
}
