# The README's commands. Everything lives in .venv and .thinkin; `make clean` removes both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := .thinkin
ENDPOINT := http://127.0.0.1:8790

IMAGES := judge generator evaluator trainer

.PHONY: demo hub hub-stop images $(IMAGES:%=image-%) engine test lint format lock clean

demo: $(VENV)/demo $(DATA)/token
	@$(MAKE) --no-print-directory hub
	@HF_ENDPOINT=$(ENDPOINT) HF_TOKEN=$$(cat $(DATA)/token) HF_HOME=$(CURDIR)/$(DATA)/hf \
		$(BIN)/python -m pipelines run demo

hub: $(VENV)/demo $(DATA)/token
	@HF_TOKEN=$$(cat $(DATA)/token) $(BIN)/python -m pipelines hub --detach --data $(DATA)/hub

hub-stop: $(VENV)/demo
	@$(BIN)/python -m pipelines hub --stop --data $(DATA)/hub

images: $(IMAGES:%=image-%)

# For another base, a mirror or a wheelhouse: make images BUILD='--build-arg BASE_IMAGE=vllm --secret id=pip_conf,src=pip.conf'
$(IMAGES:%=image-%): image-%:
	DOCKER_BUILDKIT=1 docker build --file containers/$*/Dockerfile --tag thinkin-$* \
		--build-arg GIT_SHA=$$(git rev-parse HEAD) $(BUILD) .

# What the tests of the images need, on Debian and as root; elsewhere they are skipped, with the reason.
engine:
	command -v dockerd || { apt-get update && apt-get install --yes --no-install-recommends docker.io iptables; }

test: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/yamllint --strict .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck
	$(BIN)/zizmor --quiet --offline --strict-collection .
	$(BIN)/shellcheck .ci/run containers/thinkin
	$(BIN)/hadolint containers/*/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Torch first and by itself: pinned like this, a machine without CUDA can take its CPU build.
$(VENV)/demo $(VENV)/dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ".[$(@F)]"
	touch $@

$(DATA)/token:
	@mkdir -p $(DATA)
	@umask 077 && $(PYTHON) -c "import secrets; print('hf_' + secrets.token_hex(20))" > $@

# All versions of the whole closure, as they are in .venv now: run after a change of pyproject.toml.
lock: $(VENV)/dev
	$(BIN)/python -m pip freeze --exclude thinkin | sed 's/+cpu//' > constraints.txt

clean:
	rm -rf $(VENV) $(DATA)
