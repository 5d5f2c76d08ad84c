# What a contributor runs; CONTRIBUTING.md explains each. All of it needs only uv (pip install uv).
RUN = uv run --all-extras

.PHONY: setup test fast check sim bench docs

setup:            ## make the environment in .venv
	uv sync --all-extras

test:             ## everything, in its short form: about ten minutes on two cores
	$(RUN) pytest -q

fast:             ## units and scenarios without the slow ones: half a minute
	$(RUN) pytest -q -m "not slow" tests/unit tests/scenarios

check:            ## lint, format, types, layers, and the rules of tests/tidy
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest -q tests/tidy

sim:              ## 300 seeds of the simulation
	$(RUN) python -m tests.campaigns simulation --seeds 1..300

bench:            ## the three figures that users feel
	$(RUN) python -m benchmarks.correct
	$(RUN) python -m benchmarks.crossing
	$(RUN) python -m benchmarks.opening

docs:             ## write the generated parts of the documents anew
	$(RUN) python -m tests.tidy.generated
