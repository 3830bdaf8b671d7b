//! How a worker has libtorch and NVIDIA's libraries compute: with the same bits each time and without
//! TF32. The switches are turned for every device, so that they can be read back without a card.

use crate::sandbox::{Sandbox, TINY, wait_for, workers};
use seedbed::store::record::{OnCard, Record, Switches};
use serde_json::json;

#[test]
fn a_worker_has_the_environment_that_nvidias_libraries_need() {
    let sandbox = Sandbox::new();
    let mut seedbed = sandbox
        .command("run tiny --device cpu --slots 1 --runs 1 --set training.epochs=100000")
        .env("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        .env("NVIDIA_TF32_OVERRIDE", "1")
        .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
        .spawn()
        .expect("seedbed starts");
    let environment = wait_for("worker", || {
        let worker = workers(seedbed.id()).into_iter().next()?;
        let bytes = std::fs::read(format!("/proc/{worker}/environ")).ok()?;
        // until it has become the program, it is a copy of the process that started it
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.contains("MALLOC_TRIM_THRESHOLD_").then_some(text)
    });
    drop(seedbed.kill());
    drop(seedbed.wait());
    let variables: Vec<&str> = environment.split('\0').collect();
    for wanted in [
        "CUBLAS_WORKSPACE_CONFIG=:4096:8",
        "NVIDIA_TF32_OVERRIDE=0",
        "CUDA_VISIBLE_DEVICES=",
        // what bits do not depend on is the user's
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=0",
    ] {
        assert!(variables.contains(&wanted), "no {wanted} in {variables:?}");
    }
}

#[test]
fn a_record_made_on_a_card_says_how_and_one_made_on_a_cpu_does_not() {
    let sandbox = Sandbox::new();
    sandbox.write("experiments/tiny.toml", &TINY.replace("epochs = 3", "epochs = 1"));
    sandbox.seedbed("run tiny --device cpu --runs 1 --resamples 0").expect(0);
    let (_, mut record) = sandbox.records("results").into_iter().next().expect("a record");
    assert!(record["provenance"].get("card").is_none(), "{record}");
    let switches = Switches {
        deterministic_algorithms: true,
        cudnn_deterministic: true,
        cudnn_benchmark: false,
        tf32_products: false,
        tf32_convolutions: false,
    };
    // what is read back on a card
    record["provenance"]["card"] = json!({
        "model": "NVIDIA H200",
        "switches": switches,
        "cublas_workspace": ":4096:8",
    });
    let _ = record.as_object_mut().expect("an object").remove("sha256");
    let read: Record = serde_json::from_value(record.clone()).expect("a record");
    let model = "NVIDIA H200".to_owned();
    let card = OnCard { model, switches, cublas_workspace: ":4096:8".to_owned() };
    assert_eq!(read.provenance.card, Some(card));
    assert_eq!(serde_json::to_value(&read).expect("JSON"), record);
}
