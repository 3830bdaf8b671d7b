//! How a worker has libtorch and NVIDIA's libraries compute: with the same bits each time and without
//! TF32. The switches are turned for every device, so that they can be read back without a card.

use crate::sandbox::{Ended, Sandbox, TINY, wait_for, workers};
use seedbed::store::record::{OnCard, Record, Switches};
use serde_json::json;

#[test]
fn a_worker_has_the_environment_that_nvidias_libraries_need() {
    let sandbox = Sandbox::new();
    let mut seedbed = sandbox
        .command("run tiny --device cpu --slots 1 --runs 1 --set training.epochs=100000")
        .env("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        .env("NVIDIA_TF32_OVERRIDE", "1")
        .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0:glibc.cpu.hwcaps=-AVX2")
        .envs(BITS)
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
    for (name, _) in BITS {
        let set = format!("{name}=");
        assert!(!variables.iter().any(|variable| variable.starts_with(&set)), "{variables:?}");
    }
}

/// What chooses other instructions, or another precision, where it takes effect.
const BITS: [(&str, &str); 6] = [
    ("ATEN_CPU_CAPABILITY", "default"),
    ("MKL_CBWR", "COMPATIBLE"),
    ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"),
    ("MKL_DEBUG_CPU_TYPE", "4"),
    ("DNNL_MAX_CPU_ISA", "SSE41"),
    ("ONEDNN_MAX_CPU_ISA", "SSE41"),
];

#[test]
fn what_a_user_says_of_instructions_changes_no_bits_under_the_same_key() {
    let sandbox = Sandbox::new();
    let vae = TINY.replace("name = \"dagmm\"\nhidden = [6]\nlatent = 1\nmixtures = 2", VAE);
    let axis = "\"model.reconstruction\" = [\"sum\", \"mean\"]";
    let scores = "\"protocol.score\" = [\"reconstruction-probability\", \"negative-elbo\"]";
    let vae = vae.replace(axis, scores).replace("paper = \"made-up\"\n", "");
    sandbox.write("experiments/vae.toml", &vae.replace("name = \"tiny\"", "name = \"vae\""));
    for experiment in ["tiny", "vae"] {
        let run = |out: &str| {
            let arguments =
                format!("run {experiment} --device cpu --runs 2 --resamples 0 --out {out}");
            sandbox.command(&arguments)
        };
        let free = run("free").output().expect("seedbed starts");
        Ended::from(free).expect(0);
        let set = run("set").envs(BITS).output().expect("seedbed starts");
        Ended::from(set).expect(0);
        let [free, set] = ["free", "set"].map(|out| digests(&sandbox, out, experiment));
        assert!(free.len() > 1 && free == set, "{experiment}: {free:#?}\n{set:#?}");
    }
}

const VAE: &str = "name = \"vae\"\nhidden = [32]\nlatent = 2\ndecoder = \"gaussian\"";

/// Keys and digests of the rows of an experiment.
fn digests(sandbox: &Sandbox, out: &str, experiment: &str) -> Vec<Vec<String>> {
    let text = sandbox.read(&format!("{out}/{experiment}/runs.csv"));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|column| column == name).expect("a column");
    let columns = ["cell", "seed", "key", "scores_sha256"].map(column);
    let of = |row: csv::StringRecord| columns.map(|column| row[column].to_owned()).to_vec();
    reader.records().map(|row| of(row.expect("a row"))).collect()
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
