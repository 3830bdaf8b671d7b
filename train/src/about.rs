//! What the trainer says of itself: its versions, and whether its libtorch computes.

use seedbed::machine::{About, Versions};
use tch::{Device, Kind, Tensor};

use crate::libtorch;

/// The versions of this program and of the libtorch that it runs on.
pub fn versions() -> Versions {
    let libtorch = libtorch::folder().and_then(|folder| libtorch::version_of(folder.parent()?));
    let mut versions = Versions::of_build(libtorch.unwrap_or_else(|| "unknown".into()));
    if cfg!(portable) {
        // the harness takes no trainer of another commit: this one is for tests, and slow
        versions.commit += "-portable";
    }
    versions
}

/// Everything that the harness asks. Loads libtorch's CUDA half where there is one.
pub fn about() -> About {
    let cuda = libtorch::load_cuda().clone();
    // one factorisation shows that the library computes and has LAPACK
    let factor =
        Tensor::f_eye(2, (Kind::Double, Device::Cpu)).and_then(|eye| eye.f_linalg_cholesky(false));
    // libtorch's messages run to pages of C++ frames: the first line is what people need
    let first_line = |text: String| text.lines().next().unwrap_or("no message").to_owned();
    About {
        versions: versions(),
        folder: libtorch::folder().map(|folder| folder.display().to_string()),
        broken: factor.err().map(|error| first_line(error.to_string())),
        cuda,
        cards: tch::Cuda::device_count().try_into().unwrap_or(0),
    }
}
