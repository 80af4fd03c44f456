"""A ledger of the test's own."""

from pathlib import Path

import pytest
from rows_to_record import run

from llmc.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path):
    with Ledger.open(path) as opened:
        opened.start(run())
        yield opened
