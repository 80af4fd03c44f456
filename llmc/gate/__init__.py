"""The gate: did a change make anything slower, larger or worse? It fails on evidence, passes on evidence, else says neither."""
