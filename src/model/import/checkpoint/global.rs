//! The functions and classes that a checkpoint's pickle may name.

/// What a function or class stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// A type of storage.
    Storage(Dtype),
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `collections.OrderedDict`
    OrderedDict,
    /// Data of the training that weights do not need: its result is opaque.
    Inert,
}

/// Type of a storage's numbers, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F16,
    BF16,
    F32,
    F64,
    /// One that no weight has.
    Other,
}

impl Dtype {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other => 1,
        }
    }
}

impl Global {
    /// What a name stands for; nothing for every other.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Self::RebuildParameter)
            }
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch", _) => torch(name),
            _ => is_inert(module, name).then_some(Self::Inert),
        }
    }
}

fn torch(name: &str) -> Option<Global> {
    Some(match name {
        "FloatStorage" => Global::Storage(Dtype::F32),
        "DoubleStorage" => Global::Storage(Dtype::F64),
        "HalfStorage" => Global::Storage(Dtype::F16),
        "BFloat16Storage" => Global::Storage(Dtype::BF16),
        "LongStorage" | "IntStorage" | "ShortStorage" | "CharStorage" | "ByteStorage"
        | "BoolStorage" => Global::Storage(Dtype::Other),
        "device" | "Size" | "float16" | "bfloat16" | "float32" | "float64" | "uint8" | "int8"
        | "int16" | "int32" | "int64" | "bool" => Global::Inert,
        _ => return None,
    })
}

/// Classes of plain data: numpy's numbers in the log, paths and devices among the arguments of the trainer.
fn is_inert(module: &str, name: &str) -> bool {
    match module {
        "numpy" => matches!(
            name,
            "dtype" | "ndarray" | "bool_" | "float16" | "float32" | "float64" | "int32" | "int64"
        ),
        "numpy.core.multiarray" | "numpy._core.multiarray" => {
            matches!(name, "scalar" | "_reconstruct")
        }
        "numpy.core.numeric" | "numpy._core.numeric" => name == "_frombuffer",
        "numpy.dtypes" => name.ends_with("DType"),
        "_codecs" => name == "encode",
        "collections" => matches!(name, "defaultdict" | "deque" | "Counter"),
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "list"
                | "dict"
                | "tuple"
                | "int"
                | "float"
                | "bool"
                | "str"
                | "bytes"
                | "bytearray"
                | "complex"
                | "slice"
                | "range"
        ),
        "pathlib" | "pathlib._local" => name.ends_with("Path"),
        "torch.torch_version" => name == "TorchVersion",
        "torch.serialization" => name == "_get_layout",
        "datetime" => matches!(name, "datetime" | "timedelta" | "date"),
        _ => false,
    }
}
