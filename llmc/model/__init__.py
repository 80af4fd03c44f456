"""Model weights: which file a configuration means, where it comes from, and getting it here whole."""

from dataclasses import dataclass
from pathlib import Path

from llmc import state
from llmc.errors import UsageError
from llmc.schema import ModelFile, RunConfig


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file that a configuration means, whether it is here yet or not."""

    model: str
    quant: str
    """The key in the model's ``files``: llama.cpp's name of the format, in lower case."""
    file: ModelFile
    path: Path

    @property
    def name(self) -> str:
        return f"{self.model} {self.quant.upper()}"


def weights(config: RunConfig) -> Weights:
    """What ``model=`` and ``quant=`` mean; UsageError when the model is not published that way."""
    files = config.model.files
    quant = config.quant.gguf or next(iter(files))
    if quant not in files:
        options = ", ".join(f"quant={name}" for name in files)
        raise UsageError(
            f"{config.model.name} is not known as {quant.upper()} (quant={config.quant.name}); there is {options}",
            hint="your own file: +model.files." + quant + ".path=FILE +model.files." + quant + ".bytes=SIZE",
        )
    file = files[quant]
    path = Path(file.path).expanduser() if file.path else state.cache("models") / f"{config.model.name}-{quant}.gguf"
    return Weights(config.model.name, quant, file, path)
