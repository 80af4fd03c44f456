"""Peak memory of the exact layer as the corpus grows: it must not.

``python -m bench.memory 10000 100000 1000000 [view=none] [grouping=false] ...`` makes that many synthetic documents in one JSON
Lines file (one in ten a near-duplicate of an earlier one), compresses them with the real command line and prints its peak
resident memory, its time and the bytes on disk; words with = go to llmc.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VOCABULARY = 20_000
WORDS = 50  # a document: about 400 bytes


def write(path: Path, documents: int) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 10))) for _ in range(VOCABULARY)]
    earlier: list[list[str]] = []
    with path.open("w") as file:
        for _ in range(documents):
            text = rng.choices(words, k=WORDS)
            if earlier and rng.random() < 0.1:
                text = list(rng.choice(earlier))
                text[rng.randrange(WORDS)] = rng.choice(words)
            if len(earlier) < 10_000:
                earlier.append(text)
            file.write(json.dumps({"text": " ".join(text)}) + "\n")


def peak(path: Path, archive: Path, *options: str) -> tuple[float, float]:
    """MB of resident memory at most, and seconds, of one ``llmc compress``."""
    command = [sys.executable, "-m", "llmc", "compress", f"input={path}", f"output={archive}", "quiet=true", *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(process.returncode)
    return usage.ru_maxrss / 1e3, time.perf_counter() - started


def main() -> None:
    options = [word for word in sys.argv[1:] if "=" in word] or ["view=none"]
    for documents in [int(word) for word in sys.argv[1:] if "=" not in word]:
        with tempfile.TemporaryDirectory() as folder:
            path, archive = Path(folder, "in.jsonl"), Path(folder, "a.llmc")
            write(path, documents)
            size = path.stat().st_size
            megabytes, seconds = peak(path, archive, *options)
            stored = sum(file.stat().st_size for file in archive.iterdir())
            print(
                f"{documents:>9,} documents, {size / 1e6:7.1f} MB  {' '.join(options)}:  peak {megabytes:.0f} MB, "
                f"{seconds:.0f} s, {stored / 1e6:.2f} MB on disk",
                flush=True,
            )


if __name__ == "__main__":
    main()
