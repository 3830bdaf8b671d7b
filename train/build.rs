//! Tells the linker where libtorch is, so that the trainer needs no LD_LIBRARY_PATH. It downloads
//! nothing: `make setup` does.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    let library = Path::new(&libtorch).join("lib");
    if !library.join("libtorch_cpu.so").exists() {
        println!(
            "cargo::error=no libtorch in '{libtorch}': run 'make setup', or set LIBTORCH to a libtorch 2.11.0"
        );
        return;
    }
    let library = library.canonicalize().expect("the folder was just seen");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", library.display());
}
