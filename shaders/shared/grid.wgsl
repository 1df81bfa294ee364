// Voxel index <-> x, y, z; arrays are [z, y, x] with x fastest.
// Host: src/gpu/kernel.rs

struct Grid {
    size: vec3<u32>,     // voxels along x, y, z
    _pad0: u32,
}

fn in_grid(grid: Grid, id: vec3<u32>) -> bool {
    return all(id < grid.size);
}

fn index_of(grid: Grid, id: vec3<u32>) -> u32 {
    return (id.z * grid.size.y + id.y) * grid.size.x + id.x;
}

// Position of an invocation in a linear dispatch, which is folded over x and y; `group_size` invocations along x a group.
fn linear_id(id: vec3<u32>, groups: vec3<u32>, group_size: u32) -> u32 {
    return id.y * (groups.x * group_size) + id.x;
}
