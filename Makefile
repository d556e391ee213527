# What people and CI run. `make check test` before a commit; both work inside the environment that is active.
.PHONY: check format lint types test wheel

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

wheel:
	python -m build --wheel
