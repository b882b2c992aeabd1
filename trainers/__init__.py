"""Programs that run the benchmark: `python -m trainers.NAME --flags`."""
