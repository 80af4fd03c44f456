"""Benchmarks: ``scripts/bench`` runs them; ``bench/README.md`` says how to read them."""
