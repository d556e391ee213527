# What people and CI run. `make check test` before a commit; both work inside the environment that is active.
.PHONY: check format lint types test wheel docs

check: lint types

lint:
	ruff check .
	ruff format --check .

format:
	ruff check --fix .
	ruff format .

types:
	mypy

test:
	pytest

docs:
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

wheel:
	python -m build --wheel
