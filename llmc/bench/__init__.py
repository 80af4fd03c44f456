"""What ``llmc bench`` measures and how a measurement is kept: one record a run, with every raw value."""
