//! What ships inside the program: experiments, papers' files and programs of methods, so that it works in
//! any folder. The list is written out: what merely lies in `experiments/` when the program is built is
//! not shipped, and a test says what the list lacks.

/// A file of this project, by its path from the project's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Such as `experiments/synthetic.toml`.
    pub path: &'static str,
    pub text: &'static str,
}

/// Takes in files by their paths from the project's folder.
macro_rules! shipped {
    ($($path:literal),+ $(,)?) => {
        [$(File { path: $path, text: include_str!(concat!("../", $path)) }),+]
    };
}

/// Every shipped file.
pub static FILES: &[File] = &shipped![
    "experiments/attribution-dagmm-danieltan07.toml",
    "experiments/classical-kddcup.toml",
    "experiments/classical-thyroid.toml",
    "experiments/conv-vae-mnist.toml",
    "experiments/conv-vae-notebook-fitted-mnist.toml",
    "experiments/conv-vae-notebook-mnist.toml",
    "experiments/conv-vae-notebook-search-mnist.toml",
    "experiments/dagmm-arrhythmia.toml",
    "experiments/dagmm-kddcup-rev.toml",
    "experiments/dagmm-kddcup.toml",
    "experiments/dagmm-thyroid.toml",
    "experiments/danieltan07-kddcup.toml",
    "experiments/e2e-ae-kddcup.toml",
    "experiments/needle-kddcup.toml",
    "experiments/pca-kddcup.toml",
    "experiments/readings-dagmm-kddcup.toml",
    "experiments/synthetic.toml",
    "experiments/tnakae-kddcup.toml",
    "experiments/vae-blog-bernoulli-kddcup.toml",
    "experiments/vae-blog-kddcup.toml",
    "experiments/vae-families-kddcup.toml",
    "experiments/vae-kddcup.toml",
    "experiments/vae-mnist.toml",
    "experiments/papers/an-cho-2015.toml",
    "experiments/papers/csdn-vae-blog.toml",
    "experiments/papers/dagmm-ports.toml",
    "experiments/papers/danieltan07.toml",
    "experiments/papers/heuer2023.toml",
    "experiments/papers/mnist-vae-notebook.toml",
    "experiments/papers/tnakae.toml",
    "experiments/papers/tonnaer-thesis.toml",
    "experiments/papers/zefang-liu-needle.toml",
    "experiments/papers/zong2018.toml",
    "methods/autoencoder.py",
    "methods/classical.py",
    "methods/requirements.txt",
];

/// The folder of methods' programs, in the project and in the names that experiments give them.
pub const METHODS: &str = "methods/";

/// Returns the shipped file of this path.
pub fn file(path: &str) -> Option<&'static str> {
    let all = FILES.iter();
    #[cfg(test)]
    let all = all.chain(&tests::FILES);
    all.into_iter().find(|file| file.path == path).map(|file| file.text)
}

/// Returns the text of the shipped experiment of this name.
pub fn experiment(name: &str) -> Option<&'static str> {
    file(&format!("experiments/{name}.toml"))
}

/// Returns the text of the shipped paper's file of this name.
pub fn paper(name: &str) -> Option<&'static str> {
    file(&format!("experiments/papers/{name}.toml"))
}

/// Returns the names of the shipped experiments, sorted.
pub fn experiments() -> Vec<&'static str> {
    names("experiments/")
}

/// Returns the names of the shipped papers' files, sorted.
pub fn papers() -> Vec<&'static str> {
    names("experiments/papers/")
}

/// Returns the paths of the shipped programs, such as `methods/NAME.py`, sorted.
pub fn methods() -> Vec<&'static str> {
    let mut paths: Vec<&str> = FILES.iter().map(|file| file.path).collect();
    paths.retain(|path| path.starts_with(METHODS) && path.ends_with(".py"));
    paths.sort_unstable();
    paths
}

/// The names of the TOML files that lie in a folder and in none below it.
fn names(folder: &str) -> Vec<&'static str> {
    let paths = FILES.iter().filter_map(|file| file.path.strip_prefix(folder));
    let mut names: Vec<&str> = paths.filter_map(|name| name.strip_suffix(".toml")).collect();
    names.retain(|name| !name.contains('/'));
    names.sort_unstable();
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What ships in the tests of this crate alone.
    pub static FILES: [File; 2] = [
        File { path: "methods/tested.py", text: "print('tested')\n" },
        File { path: "experiments/tested.toml", text: EXPERIMENT },
    ];

    const EXPERIMENT: &str = "title = \"Tested\"\nruns = 1\n[dataset]\nname = \"synthetic\"\n\
        [protocol]\nsplit = { kind = \"half-of-all\" }\nthreshold = { top = 0.2, of = \"test\" }\n\
        [model]\nname = \"command\"\nprogram = [\"python3\", \"methods/tested.py\"]\n\
        files = [\"methods/tested.py\"]\n[model.settings]\npower = 1\n";

    #[test]
    fn every_experiment_paper_and_program_of_the_project_is_in_the_list() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut there = BTreeSet::new();
        for (folder, kinds) in [
            ("experiments", &["toml"][..]),
            ("experiments/papers", &["toml"]),
            ("methods", &["py", "txt", "toml"]),
        ] {
            let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
            for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
                let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
                if kinds.contains(&kind) {
                    there.insert(format!("{folder}/{name}"));
                }
            }
        }
        assert!(there.len() > 20, "{there:?}");
        let listed: BTreeSet<String> =
            super::FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(listed, there, "the list of src/shipped.rs is the left one");
    }

    #[test]
    fn names_are_those_of_the_files() {
        assert!(experiments().contains(&"synthetic") && !experiments().contains(&"zong2018"));
        assert!(papers().contains(&"zong2018"));
        assert!(experiment("synthetic").is_some_and(|text| text.contains("DAGMM")));
        assert_eq!((experiment("nothing"), paper("synthetic")), (None, None));
    }
}
