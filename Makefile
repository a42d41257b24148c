# Each target sets up what it needs. `make help` lists them.
#
#   PYTHON       the Python, 3.11 or newer, that makes .venv           (default: python3)
#   CONSTRAINTS  pip constraints; the default pins torch, so that an index or folder with CPU wheels gives one of those.
#                `make fit CONSTRAINTS=` takes whatever torch pip prefers, on Linux one with CUDA.
#   HARDWARE     an overlay of configs/hardware                        (default: cpu)
#   RUN          where the tiny run goes                               (default: runs/tiny)
#   MODEL_DATA   where `make model-data` writes                        (default: data/model)

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
HARDWARE ?= cpu
RUN ?= runs/tiny
DATA ?= data/tiny
MODEL_DATA ?= data/model

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

# The tiny networks run faster on one thread than on two that wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: help fit model-data model ship-model test test-slow test-slurm test-browser chaos lint docs clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml $(CONSTRAINTS)
	@echo "== environment: .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "drip needs Python 3.11 or newer: make PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) -e '.[dev]'
	@touch $@

STAGE = $(BIN)/drip fit --config configs/$(1).yaml --config configs/scale/tiny.yaml \
	--config configs/hardware/$(HARDWARE).yaml --data.foregrounds $(DATA)/foregrounds --data.backgrounds $(DATA)/backgrounds \
	--data.evaluation $(DATA)/evaluation --trainer.default_root_dir $(RUN)/$(1) --ckpt_path auto

## make fit     set up, draw data, train all three stages at tiny scale, cut out an example: minutes on two cores
fit: .venv/installed
	@echo "== 1/6 data: $(DATA)"
	@$(BIN)/drip synth $(DATA) --size 160 --foregrounds 300 --backgrounds 300 --evaluation 16
	@echo "== 2/6 autoencoder: $(RUN)/autoencoder"
	@$(call STAGE,autoencoder) --data.batch_size 4
	@echo "== 3/6 joint denoiser: $(RUN)/denoiser"
	@$(call STAGE,denoiser) --config configs/ablation/sample_prediction_zero_snr.yaml \
		--model.networks.vae $(RUN)/autoencoder/pretrained
	@echo "== 4/6 transparency decoder: $(RUN)/transparency"
	@$(call STAGE,transparency) --model.denoiser $(RUN)/denoiser
	@echo "== 5/6 held-out synthetic pictures"
	@$(BIN)/drip test trimap $(RUN)/transparency --overwrite
	@echo "== 6/6 a photograph"
	@$(BIN)/drip matte examples/lemur/image.png --trimap examples/lemur/trimap.png --checkpoint $(RUN)/transparency \
		--out $(RUN)/matte --panel --overwrite
	@echo
	@echo "cut-out (RGBA)   $(RUN)/matte/image.png"
	@echo "side by side     $(RUN)/matte/image.panel.jpg"
	@echo "table            $(RUN)/transparency/test/table.md"
	@echo "checkpoints      $(RUN)/autoencoder/checkpoints $(RUN)/denoiser/checkpoints $(RUN)/transparency/checkpoints"
	@echo "TensorBoard      $(BIN)/tensorboard --logdir $(RUN)"

## make model-data DATA=FOLDER    shards of a folder of cut-outs and backgrounds (docs/data.md), and procedural ones beside them;
##              without DATA, procedural ones alone
model-data: .venv/installed
	DRIP=$(BIN)/drip scripts/model_data.sh $(MODEL_DATA) $(if $(findstring file,$(origin DATA)),,$(DATA))

MODEL_STAGE = $(BIN)/drip fit --config configs/$(1).yaml --config configs/scale/compact.yaml --config configs/hardware/$(HARDWARE).yaml \
	--config configs/model/data.yaml $(if $(findstring file,$(origin DATA)),--config configs/model/procedural.yaml) \
	$(2) --config configs/model/$(1).yaml --ckpt_path auto

## make model DATA=FOLDER    train the model that comes with the package: hours; started again, it resumes
model: model-data
	$(call MODEL_STAGE,autoencoder)
	$(call MODEL_STAGE,denoiser,--config configs/ablation/one_step.yaml)
	$(call MODEL_STAGE,transparency)
	$(BIN)/drip test trimap closed-form runs/model/transparency --overwrite

## make ship-model DATA=FOLDER    put what `make model` trained into the package, with its records
ship-model: .venv/installed
	$(BIN)/python scripts/ship_model.py runs/model $(DATA)

## make test    set up and run the tests: minutes
test: .venv/installed-dev
	$(BIN)/python -m pytest

## make test-slow    … the long tests, too
test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

## make test-slurm   … those that start a Slurm of their own, if slurm-wlm and munge are installed
test-slurm: .venv/installed-dev
	$(BIN)/python -m pytest -m slurm -rs

## make test-browser … those that drive the page of `drip demo` in a browser, if chromium is installed (gradio may bring an older pillow)
test-browser: .venv/installed-dev
	$(INSTALL) -e '.[demo]' 'playwright>=1.50'
	$(BIN)/python -m pytest -m browser -rs

## make chaos       … throw 100 faults at training runs and compare each with the same run unharmed (FAULTS=, MINUTES=, SEED=)
chaos: .venv/installed-dev
	$(BIN)/python -m tests.chaos --count $(or $(FAULTS),100) --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

## make lint    set up and run ruff and mypy
lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## make docs    set up and build the documentation as a site in site/; broken links and missing references fail
docs: .venv/installed
	$(INSTALL) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir site

## make clean   remove the environment and caches; runs and data stay
clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
