"""A ledger of the test's own, and the report of what is in it."""

import pytest
from spent_rows import NOW, run

from llmc import schema
from llmc.ledger import Ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path):
    with Ledger.open(path) as opened:
        opened.start(run())
        yield opened


@pytest.fixture
def reported(ledger, composed):
    """``reported(cloud(), local(), "by=tier")``: the report after these rows, under these overrides."""
    from llmc.target import cost

    def report(*given, now=NOW):
        for row in given:
            if not isinstance(row, str):
                ledger.record(row)
        words = [word for word in given if isinstance(word, str)]
        config = schema.typed(composed("target=cost", "timezone=UTC", "provider.model=gpt-4o-mini", *words))
        return cost.made(ledger, config, now)

    return report
