//! libtorch's switches for how a device computes: kernels that give the same bits each time, and f32
//! products that are not rounded to 10 bits (TF32). `device` turns them before the first tensor, and a
//! record made on a card holds what libtorch says of them. tch has no calls for them: these are
//! libtorch's own C++ functions, by the names that the linker knows them by.

use std::ffi::c_void;

use seedbed::store::record::Switches;

/// What every worker computes with.
pub const WANTED: Switches = Switches {
    deterministic_algorithms: true,
    cudnn_deterministic: true,
    cudnn_benchmark: false,
    tf32_products: false,
    tf32_convolutions: false,
};

// Methods of `at::Context` (ATen/Context.h of libtorch 2.11.0), whose object comes first, as the C++
// ABI has it. The names hold the types of their parameters, so that a libtorch with others does not link.
unsafe extern "C" {
    #[link_name = "_ZN2at13globalContextEv"]
    fn global_context() -> *mut c_void;
    #[link_name = "_ZN2at7Context26setDeterministicAlgorithmsEbb"]
    fn set_deterministic_algorithms(context: *mut c_void, on: bool, warn_only: bool);
    #[link_name = "_ZNK2at7Context23deterministicAlgorithmsEv"]
    fn deterministic_algorithms(context: *const c_void) -> bool;
    #[link_name = "_ZN2at7Context39setDeterministicFillUninitializedMemoryEb"]
    fn set_fill_uninitialised_memory(context: *mut c_void, on: bool);
    #[link_name = "_ZN2at7Context21setDeterministicCuDNNEb"]
    fn set_deterministic_cudnn(context: *mut c_void, on: bool);
    #[link_name = "_ZNK2at7Context18deterministicCuDNNEv"]
    fn deterministic_cudnn(context: *const c_void) -> bool;
    #[link_name = "_ZN2at7Context17setBenchmarkCuDNNEb"]
    fn set_benchmark_cudnn(context: *mut c_void, on: bool);
    #[link_name = "_ZNK2at7Context14benchmarkCuDNNEv"]
    fn benchmark_cudnn(context: *const c_void) -> bool;
    #[link_name = "_ZN2at7Context18setAllowTF32CuBLASEb"]
    fn set_allow_tf32_cublas(context: *mut c_void, on: bool);
    #[link_name = "_ZN2at7Context17setAllowTF32CuDNNEb"]
    fn set_allow_tf32_cudnn(context: *mut c_void, on: bool);
    #[link_name = "_ZNK2at7Context16float32PrecisionENS_14Float32BackendENS_9Float32OpE"]
    fn float32_precision(context: *const c_void, backend: i32, operation: i32) -> i32;
}

// Of the enums `Float32Backend`, `Float32Op` and `Float32Precision` there.
const CUDA: i32 = 1;
const CONVOLUTION: i32 = 1;
const PRODUCT: i32 = 3;
const TF32: i32 = 2;

/// Turns libtorch's switches to `WANTED`, for the whole process.
pub fn enforce() {
    // SAFETY: these functions take the one context of the process, which is never freed, and flags
    unsafe {
        let context = global_context();
        set_deterministic_algorithms(context, WANTED.deterministic_algorithms, false);
        // nothing here reads a tensor that was not written, and filling each takes time
        set_fill_uninitialised_memory(context, false);
        set_deterministic_cudnn(context, WANTED.cudnn_deterministic);
        set_benchmark_cudnn(context, WANTED.cudnn_benchmark);
        set_allow_tf32_cublas(context, WANTED.tf32_products);
        set_allow_tf32_cudnn(context, WANTED.tf32_convolutions);
    }
}

/// A place in libtorch's code, by which the loader knows which library that is.
#[cfg(unix)]
pub(crate) fn place_in_libtorch() -> *const c_void {
    global_context as *const c_void
}

/// What libtorch says of them.
pub fn switches() -> Switches {
    // SAFETY: as above, and what is asked for is of the enums
    unsafe {
        let context = global_context();
        let tf32 = |operation| float32_precision(context, CUDA, operation) == TF32;
        Switches {
            deterministic_algorithms: deterministic_algorithms(context),
            cudnn_deterministic: deterministic_cudnn(context),
            cudnn_benchmark: benchmark_cudnn(context),
            tf32_products: tf32(PRODUCT),
            tf32_convolutions: tf32(CONVOLUTION),
        }
    }
}
