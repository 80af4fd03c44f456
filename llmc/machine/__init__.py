"""What this machine has, what can work on it, and whether a model fits."""

from llmc.machine.fit import COMPUTE_BYTES, Fit, fit
from llmc.machine.found import Gpu, Probed
from llmc.machine.host import Host
from llmc.machine.probe import gpus, probe

__all__ = ["COMPUTE_BYTES", "Fit", "Gpu", "Host", "Probed", "fit", "gpus", "probe"]
