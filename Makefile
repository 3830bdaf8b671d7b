# Every target sets up and builds what it needs. `make` alone lists them.

SHELL := /bin/bash
ifeq ($(origin SEEDBED_DATA),undefined)
ifneq ($(wildcard ../shared/data),)
export SEEDBED_DATA := $(abspath ../shared/data)
endif
endif

seedbed := target/release/seedbed
experiments := synthetic dagmm-kddcup dagmm-kddcup-rev dagmm-thyroid dagmm-arrhythmia danieltan07-kddcup tnakae-kddcup \
	needle-kddcup vae-kddcup vae-blog-kddcup vae-blog-bernoulli-kddcup vae-families-kddcup e2e-ae-kddcup pca-kddcup \
	vae-mnist conv-vae-mnist conv-vae-notebook-mnist
# detectors of scikit-learn and PyOD, in the environment of 'make methods'
classical := classical-kddcup classical-thyroid
with_methods := PATH="$(CURDIR)/.methods/bin:$$PATH"
# grids of many cells, which are run in full or not at all
searches := conv-vae-notebook-search-mnist conv-vae-notebook-fitted-mnist readings-dagmm-kddcup \
	attribution-dagmm-danieltan07

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: setup
setup: ## put libtorch 2.11.0 under .libtorch/ (530.6 MB download, once)
	@scripts/setup-libtorch.sh

.PHONY: build
build: setup ## build target/release/seedbed and the trainer beside it
	cargo build --release --locked

.PHONY: methods
methods: ## make the Python environment of methods/ under .methods/: scikit-learn, PyOD, PyTorch
	@scripts/setup-methods.sh

.PHONY: quick
quick: build ## train every experiment at reduced size and compare with the papers
	$(seedbed) run --quick --available --mixed-code $(experiments)

.PHONY: test
test: setup methods browser slurm ## run the tests
	cargo test --release --locked

.PHONY: test-portable
test-portable: setup ## run the trainer's tests as on a processor without vector instructions: tensors and portable kernels
	RUSTC_WORKSPACE_WRAPPER=$(abspath scripts/portable-rustc.sh) cargo test --release --locked --workspace --lib --test golden --test sources
	cargo build --release --locked

.PHONY: browser
browser: ## install Debian's Chromium for the tests of the report, where it is missing and may be installed
	@scripts/setup-browser.sh || [ -z "$$CI" ]

.PHONY: slurm
slurm: ## install Debian's Slurm for its tests, where it is missing and may be installed
	@scripts/setup-slurm.sh || [ -z "$$CI" ]

.PHONY: test-slurm
test-slurm: build slurm ## run grids through a real one-node Slurm that the test starts and ends
	cargo test --release --locked --test slurm

.PHONY: reproduce
reproduce: build methods ## train every experiment in full, into reproduced/; shows first how long that takes
	$(with_methods) $(seedbed) plan --out reproduced $(experiments) $(searches) $(classical)
	$(with_methods) $(seedbed) run --out reproduced $(experiments) $(searches) $(classical)

.PHONY: finish
finish: build methods ## train what the published results still lack; published runs count as stored
	$(with_methods) $(seedbed) plan $(experiments) $(searches) $(classical)
	$(with_methods) $(seedbed) run $(experiments) $(searches) $(classical)

.PHONY: report
report: ## rebuild every table, report, picture and number in README.md and docs/ from results/; needs no libtorch and no data
	cargo build --release --locked --package seedbed
	$(seedbed) report --out results
	$(seedbed) report --quick --out results/reduced
	$(seedbed) fill

.PHONY: check
check: setup methods browser slurm ## everything that continuous integration asks for
	cargo fmt --all --check
	cargo clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --no-deps
	$(MAKE) test-portable
	! cargo tree --locked --package seedbed --edges normal,build | grep -E ' (tch|torch-sys) '
	cargo test --release --locked

.PHONY: test-fast
test-fast: ## the tests that train nothing and start no daemon, once 'make test' has built them
	cargo test --release --locked --lib --bins
	cargo test --release --locked --test offline

.PHONY: bench-peer
bench-peer: build ## one training step, and 20 runs, beside PyTorch
	python3 benches/bench_peer.py

.PHONY: bench-load
bench-load: build ## loading and encoding KDD Cup 99 beside pandas
	python3 -m venv .libtorch/bench
	.libtorch/bench/bin/python -m pip install --quiet --disable-pip-version-check numpy pandas
	.libtorch/bench/bin/python benches/bench_load.py $(or $(SEEDBED_DATA),$(HOME)/.cache/seedbed)

.PHONY: bench-width
bench-width: build ## what a step and a worker's memory cost by the seeds of a job, and what a second worker brings
	python3 benches/bench_width.py $(seedbed) results/width.csv

.PHONY: bench-start
bench-start: build ## how long a worker takes from its start to its first training step
	python3 benches/bench_start.py $(seedbed) results/start.csv

.PHONY: bench-gpu
bench-gpu: build ## everything that is measured on an NVIDIA card; refuses where there is none
	python3 benches/bench_gpu.py

.PHONY: bench-metrics
bench-metrics: ## what flagging and measuring 250,000 rows takes
	cargo bench --locked --package seedbed --bench metrics

.PHONY: bench-growth
bench-growth: build ## how plan, resume and tables grow with a grid, from 100 to 100,000 runs
	python3 benches/bench_growth.py $(seedbed) results/growth.csv

.PHONY: bench-schedule
bench-schedule: ## what a decision of the scheduler costs, for grids of 100 to 100,000 runs
	cargo bench --locked --package seedbed --bench schedule

.PHONY: rounding
rounding: ## how far runs of DAGMM moved when its sums changed their order, from this repository's history
	python3 tests/rounding.py

.PHONY: loss-curves
loss-curves: ## how far the loss curves of the searched pairs are from those that the MNIST notebook prints
	python3 tests/loss_curves.py 0 $(addprefix results/,$(searches))
	python3 tests/loss_curves.py 1 $(addprefix results/,$(searches))

.PHONY: mean-image
mean-image: ## what the mean training image alone reaches on MNIST under the notebook's protocol
	python3 -m venv .libtorch/bench
	.libtorch/bench/bin/python -m pip install --quiet --disable-pip-version-check numpy scikit-learn
	.libtorch/bench/bin/python tests/mean_image.py $(or $(SEEDBED_DATA),$(HOME)/.cache/seedbed)/mnist results/mean-image.csv

.PHONY: doctor
doctor: build ## versions, devices, data, and the next step for what is missing
	@$(seedbed) doctor

.PHONY: clean
clean: ## remove what was built; keep .libtorch/ and results/
	cargo clean
