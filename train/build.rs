//! Tells the linker where libtorch is, so that the trainer finds it without LD_LIBRARY_PATH. It downloads
//! nothing: `make setup` does.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    let library = Path::new(&libtorch).join("lib");
    let file = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "libtorch_cpu.dylib",
        Ok("windows") => "torch_cpu.lib",
        _ => "libtorch_cpu.so",
    };
    if !library.join(file).exists() {
        println!(
            "cargo::error=no libtorch in '{libtorch}': run 'make setup', or set LIBTORCH to a libtorch 2.11.0"
        );
        return;
    }
    if std::env::var_os("CARGO_CFG_UNIX").is_some() {
        let library = library.canonicalize().expect("the folder was just seen");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", library.display());
    }
}
