//! What stands below the options in help texts: examples, environment variables, exit codes. And what
//! `--version` says.
use seedbed::machine::{LIBTORCH, Versions};
use seedbed::schedule::trainer;

/// What `--version` says of this build; what the trainer says of itself is added by [`version`].
pub const LONG_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Below the subcommands.
pub const PROGRAM: &str = "\
Examples:
  seedbed list                            # what can be run and compared
  seedbed plan dagmm-kddcup               # what it would train, and how long that takes
  seedbed run dagmm-kddcup --quick        # a reduced run, which earns no verdict
  seedbed compare dagmm-kddcup            # what is stored, beside the published figures
  seedbed doctor                          # what is missing on this machine

Environment variables:
  SEEDBED_DATA          a folder with data files, searched after --data and before the cache folder
  SEEDBED_MIRROR        where 'seedbed data fetch' looks first
  SEEDBED_TIMEOUT       seconds of silence after which a download is given up [default: 30]
  XDG_CACHE_HOME        where downloaded data go [default: ~/.cache]
  CUDA_VISIBLE_DEVICES  GPUs that there are
  NO_COLOR              not empty: no colours, unless --color always
  COLUMNS               how wide tables are where stdout is no terminal [default: as wide as they get]

Exit codes:
  0 done   1 a run failed, or with --strict a figure did not reproduce   2 usage   3 data missing or
  wrong   4 verify: a program is not repeatable   130 interrupted";

pub const PLAN: &str = "\
Examples:
  seedbed plan dagmm-kddcup
  seedbed plan dagmm-kddcup --power            # what 20 runs can show about each figure at all
  seedbed plan dagmm-kddcup --power -n 50      # and 50 runs";

pub const RUN: &str = "\
It ends with a line for each method of a paper's table. The whole tables are in DIR/EXPERIMENT/*.csv,
in DIR/report.html, and on the screen with --tables or 'seedbed tables' and 'seedbed compare'.

Examples:
  seedbed run dagmm-kddcup                     # all that is not stored yet
  seedbed run dagmm-kddcup -n 5 -j 2           # seeds 1 to 5, two workers
  seedbed run dagmm-kddcup -s 7-9 -c reconstruction=sum
  seedbed run --all --quick --available        # everything whose data are at hand, reduced
  seedbed run mine.toml --strict               # for a gate: exit code 1 unless all is reproduced
  seedbed run mine.toml --until-decided        # runs are added until every figure has a verdict";

pub const SLURM: &str = "\
Examples:
  seedbed slurm dagmm-kddcup --time 12:00:00
  seedbed slurm dagmm-kddcup --gres gpu:1 --partition gpus -- --account=lab
  seedbed slurm dagmm-kddcup --cancel";

pub const TABLES: &str = "\
Examples:
  seedbed tables dagmm-kddcup
  seedbed tables --out reproduced              # every experiment that has results there
  seedbed tables --from my.csv                 # a file of runs of your own";

pub const COMPARE: &str = "\
Examples:
  seedbed compare dagmm-kddcup
  seedbed compare dagmm-kddcup --from my.csv   # a file of runs of your own, beside the paper's figures
  seedbed compare dagmm-kddcup --strict        # for a gate";

pub const EXPLAIN: &str = "\
Examples:
  seedbed explain mine                         # an experiment with [[readings]]
  seedbed explain mine --metric auroc --from CELL --to CELL";

pub const REPORT: &str = "\
Examples:
  seedbed report                               # of all that has results below results/
  seedbed report dagmm-kddcup --to mine --open
  seedbed report --from my.csv";

pub const TABLE: &str = "\
Rows and columns are each one of: cell, experiment, metric, or the name of an axis (as in 'seedbed tables
--json', such as reconstruction). What neither names must have one value, or stands in the row's name.

Examples:
  seedbed table dagmm-kddcup                               # cells in rows, metrics in columns
  seedbed table dagmm-kddcup dagmm-thyroid --format latex --rows cell --columns experiment --metric f1
  seedbed table classical-thyroid --format csv --best";

pub const VERIFY: &str = "\
Examples:
  seedbed verify dagmm-kddcup --against results
  seedbed verify dagmm-kddcup --sample 3
  seedbed verify --lock";

pub const SCORE: &str = "\
Examples:
  seedbed split dagmm-kddcup --to rows
  seedbed score dagmm-kddcup --scores 'rows/{cell}/{seed}.npy'";

pub const NEW: &str = "\
Examples:
  seedbed new mine                             # made-up rows, principal components
  seedbed new mine --from dagmm-kddcup         # a copy, with its comparison
  seedbed new mine --table data.csv --command 'python3 forest.py'";

pub const DATA: &str = "\
Examples:
  seedbed data list
  seedbed data fetch kddcup --data ~/data
  seedbed data check";

pub const COMPLETIONS: &str = "\
Examples:
  seedbed completions bash > ~/.local/share/bash-completion/completions/seedbed
  seedbed completions zsh  > ~/.zfunc/_seedbed           # with fpath+=~/.zfunc before compinit
  seedbed completions fish > ~/.config/fish/completions/seedbed.fish";

pub const MAN: &str = "\
Examples:
  seedbed man | man -l -
  seedbed man run | man -l -
  seedbed man --to ~/.local/share/man/man1";

/// Says which build this is, and of which the trainer beside it.
pub fn version() -> String {
    let Versions { seedbed, commit, dirty, tch, .. } = Versions::of_build(String::new());
    let commit = match (commit.as_str(), dirty) {
        ("", _) => "unknown (built outside a repository)".to_owned(),
        (commit, false) => commit.to_owned(),
        (commit, true) => format!("{commit}, with changes"),
    };
    let mut text = format!(
        "seedbed {seedbed}\ncommit: {commit}\ncompiler: {}\nsystem: {} {}\n",
        env!("SEEDBED_RUSTC"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    );
    text += &match trainer::about() {
        Ok(about) => {
            let folder = about.folder.map_or(String::new(), |folder| format!(" from {folder}"));
            let libtorch = about.versions.libtorch;
            let cuda = match about.cuda {
                seedbed::machine::CudaLibrary::Absent => "no CUDA".to_owned(),
                seedbed::machine::CudaLibrary::Loaded => format!("CUDA, {} GPUs", about.cards),
                seedbed::machine::CudaLibrary::Failed(why) => format!("CUDA does not load: {why}"),
            };
            format!("trainer: tch {tch}, libtorch {libtorch}{folder}, {cuda}\n")
        }
        Err(error) => format!(
            "trainer: none that answers ({error}); with libtorch {LIBTORCH} 'make build' makes it\n"
        ),
    };
    text + "methods: dagmm, autoencoder, vae, conv-vae (with the trainer); pca, command, scores\n"
}
