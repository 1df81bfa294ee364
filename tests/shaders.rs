//! Shaders against their host files, without a GPU: valid WGSL, equal parameter layouts, bindings in order.

use hilum::gpu::{Access, Kernel, Storage, Variant};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};
use std::collections::BTreeSet;
use std::path::Path;

/// Every kernel of the program; a new stage adds its own list here.
fn kernels() -> Vec<&'static Kernel> {
    [
        hilum::preprocess::KERNELS,
        hilum::engine::gpu::KERNELS,
        hilum::model::KERNELS,
    ]
    .concat()
}

fn parsed(kernel: &Kernel) -> Module {
    stored(kernel, Storage::F32)
}

fn stored(kernel: &Kernel, storage: Storage) -> Module {
    let source = wgsl(kernel, storage);
    naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.label, e.emit_to_string(&source)))
}

fn wgsl(kernel: &Kernel, storage: Storage) -> String {
    kernel.wgsl(&Variant {
        storage,
        constants: Vec::new(),
    })
}

/// What a kernel that multiplies matrices may use besides.
fn of_matrices(kernel: &Kernel) -> Capabilities {
    match kernel.constants.iter().any(|(name, _)| *name == "MATRIX") {
        true => Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP,
        false => Capabilities::empty(),
    }
}

fn name_of(name: Option<&String>) -> &str {
    name.map_or("", String::as_str)
}

/// Padding is named `_pad*` on both sides, but may be split differently.
fn is_padding(name: &str) -> bool {
    name.starts_with("_pad")
}

#[test]
fn every_kernel_is_valid_wgsl() {
    for kernel in kernels() {
        for (storage, capabilities) in [
            (Storage::F32, Capabilities::empty()),
            (Storage::F16, Capabilities::SHADER_FLOAT16),
        ] {
            let capabilities = capabilities | of_matrices(kernel);
            let mut validator = Validator::new(ValidationFlags::all(), capabilities);
            if let Err(e) = validator.validate(&stored(kernel, storage)) {
                let source = wgsl(kernel, storage);
                panic!("{}: {}", kernel.label, e.emit_to_string(&source));
            }
        }
    }
}

#[test]
fn matrices_of_either_size_are_valid_wgsl() {
    let kernel = hilum::engine::gpu::KERNELS
        .iter()
        .find(|kernel| kernel.label == "conv-matrix")
        .expect("one kernel multiplies matrices");
    for (size, storage) in [(8, Storage::F32), (8, Storage::F16), (16, Storage::F32)] {
        let constants = vec![("MATRIX", size), ("SUBGROUPS", 4), ("BLOCK_N", 1)];
        let source = kernel.wgsl(&Variant { storage, constants });
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{size}: {}", e.emit_to_string(&source)));
        let capabilities = Capabilities::SHADER_FLOAT16 | of_matrices(kernel);
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        if let Err(e) = validator.validate(&module) {
            panic!("{size}: {}", e.emit_to_string(&source));
        }
    }
}

#[test]
fn every_kernel_has_its_own_label() {
    let labels: BTreeSet<_> = kernels().iter().map(|k| k.label).collect();
    assert_eq!(labels.len(), kernels().len());
}

#[test]
fn params_have_the_same_members_offsets_and_size_in_rust_and_wgsl() {
    for kernel in kernels() {
        let module = parsed(kernel);
        let (_, params) = module
            .types
            .iter()
            .find(|(_, t)| t.name.as_deref() == Some("Params"))
            .unwrap_or_else(|| panic!("{}: no Params", kernel.label));
        let TypeInner::Struct { members, span } = &params.inner else {
            panic!("{}: Params is no struct", kernel.label);
        };
        let wgsl: Vec<(&str, usize)> = members
            .iter()
            .map(|m| (name_of(m.name.as_ref()), m.offset as usize))
            .filter(|(name, _)| !is_padding(name))
            .collect();
        let rust: Vec<(&str, usize)> = kernel
            .params
            .members
            .iter()
            .copied()
            .filter(|(name, _)| !is_padding(name))
            .collect();
        assert_eq!(rust, wgsl, "{}: Params", kernel.label);
        assert_eq!(kernel.params.size, *span as usize, "{}: size", kernel.label);
        assert_eq!(kernel.params.size % 16, 0, "{}: uniform size", kernel.label);
    }
}

#[test]
fn the_entry_point_and_its_workgroup_size_are_those_of_the_host() {
    for kernel in kernels() {
        let module = parsed(kernel);
        let entry = module
            .entry_points
            .iter()
            .find(|e| e.name == kernel.entry_point)
            .unwrap_or_else(|| panic!("{}: no {}", kernel.label, kernel.entry_point));
        assert_eq!(
            entry.workgroup_size, kernel.workgroup_size,
            "{}",
            kernel.label
        );
        let invocations: u32 = kernel.workgroup_size.iter().product();
        assert!(
            invocations <= 256,
            "{}: {invocations} a group",
            kernel.label
        );
    }
}

#[test]
fn bindings_are_params_then_inputs_then_outputs() {
    for kernel in kernels() {
        let module = parsed(kernel);
        let mut found: Vec<(u32, AddressSpace)> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| v.binding.as_ref().map(|b| (b.binding, v.space)))
            .collect();
        found.sort_by_key(|(binding, _)| *binding);
        let storage = |access: &Access| AddressSpace::Storage {
            access: match access {
                Access::Read => StorageAccess::LOAD,
                Access::ReadWrite => StorageAccess::LOAD | StorageAccess::STORE,
            },
        };
        let wanted: Vec<_> = std::iter::once(AddressSpace::Uniform)
            .chain(kernel.buffers.iter().map(storage))
            .zip(0..)
            .map(|(space, binding)| (binding, space))
            .collect();
        assert_eq!(found, wanted, "{}", kernel.label);
        let first_output = kernel.buffers.iter().position(|a| *a == Access::ReadWrite);
        let inputs_after =
            first_output.is_some_and(|first| kernel.buffers[first..].contains(&Access::Read));
        assert!(!inputs_after, "{}: an input after an output", kernel.label);
    }
}

#[test]
fn no_shader_file_is_unused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = 0;
    for folder in [root.clone(), root.join("shared")] {
        for entry in std::fs::read_dir(&folder).expect("shaders/ is there") {
            let path = entry.expect("readable").path();
            if path.extension().is_none_or(|e| e != "wgsl") {
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).expect("readable");
            let used = kernels().iter().any(|k| k.source.contains(&text));
            assert!(used, "{} belongs to no kernel", path.display());
        }
    }
    assert!(files > 0);
}
