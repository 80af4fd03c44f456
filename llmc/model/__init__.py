"""Model weights: which file a configuration means, where it comes from, and getting it here whole."""

from dataclasses import dataclass, replace
from hashlib import sha256
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
    model, files = config.model, config.model.files
    quant = config.quant.gguf or next(iter(files))
    if model.path or model.url:
        file = ModelFile(path=model.path, url=model.url, sha256=model.sha256)
    elif quant in files:
        file = files[quant]
    else:
        options = ", ".join(f"quant={name}" for name in files)
        raise UsageError(
            f"{model.name} is not known as {quant.upper()} (quant={config.quant.name}); there is {options}",
            hint="your own file: model.path=FILE",
        )
    if file.path:
        path = Path(file.path).expanduser()
        file = replace(file, bytes=path.stat().st_size if path.is_file() else file.bytes)
    else:
        own = f"-{sha256(model.url.encode()).hexdigest()[:8]}" if model.url else ""
        path = state.cache("models") / f"{model.name}-{quant}{own}.gguf"
    return Weights(model.name, quant, file, path)
