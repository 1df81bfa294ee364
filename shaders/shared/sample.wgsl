// Edge clamp and interpolation weights. Needs shared/grid.wgsl.
// Host: src/preprocess/resample.rs

// The voxel of the grid that lies nearest to a possibly outer index.
fn clamp_to_edge(grid: Grid, index: vec3<i32>) -> vec3<u32> {
    return vec3<u32>(clamp(index, vec3<i32>(0), vec3<i32>(grid.size) - 1));
}

// From a (t = 0) to b (t = 1); a exactly at t = 0.
fn blend(a: f32, b: f32, t: f32) -> f32 {
    return (1.0 - t) * a + t * b;
}

// Weights of the voxels at -1, 0, 1, 2 for a point at t in [0, 1) (Catmull-Rom).
fn cubic_weights(t: f32) -> vec4<f32> {
    return vec4<f32>(
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    );
}
