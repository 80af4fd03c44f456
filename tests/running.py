"""``llmc`` as a real process, what came of it, and documents that make text hard; no conftest, so that tests can import it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def shebang() -> str:
    """The first lines of a program for this Python, whose path may hold a space: a shell starts it, as in pip's own scripts."""
    return f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n"


@dataclass(frozen=True, slots=True)
class Result:
    """A finished llmc process."""

    words: tuple[str, ...]
    code: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode()

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout_bytes)

    def ok(self) -> "Result":
        """Asserts exit code 0."""
        assert self.code == 0, f"llmc {' '.join(self.words)} ended with {self.code}:\n{self.stderr}"
        return self

    def error(self, code: int) -> tuple[str, str]:
        """Asserts that exit code and that stderr ends in one ``error:`` line and at most one ``hint:``; both texts.

        Before them stands at most what was being done (``downloading …``), and there is no traceback anywhere.
        """
        said = f"llmc {' '.join(self.words)} ended with {self.code}:\n{self.stderr}"
        assert self.code == code, said
        lines = self.stderr.splitlines()
        errors = [i for i, line in enumerate(lines) if line.startswith("error: ")]
        assert len(errors) == 1, said
        rest = lines[errors[0] + 1 :]
        assert rest == [] or (len(rest) == 1 and rest[0].startswith("hint:  ")), said
        assert "Traceback" not in self.stderr, said
        return lines[errors[0]].removeprefix("error: "), rest[0].removeprefix("hint:  ") if rest else ""

    def usage(self, code: int = 2) -> tuple[str, str]:
        """Like :meth:`error`, and nothing else was said and nothing came out."""
        message, hint = self.error(code)
        assert self.stderr == f"error: {message}\n" + (f"hint:  {hint}\n" if hint else "")
        assert self.stdout == ""
        return message, hint


@dataclass(slots=True)
class Runner:
    """Runs ``llmc`` as users do: ``llmc("compress", "input=notes", "output=notes.llmc").ok().json``."""

    cwd: Path

    def __call__(
        self,
        *words: str | os.PathLike[str],
        stdin: bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> Result:
        done = subprocess.run(
            self.argv(*words),
            input=stdin,
            capture_output=True,
            cwd=cwd or self.cwd,
            env=self.environ(env),
            timeout=timeout,
            check=False,
        )
        return Result(tuple(str(w) for w in words), done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A process to kill, or one of several at once; the caller waits for it."""
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.cwd,
            env=self.environ(env),
        )

    def argv(self, *words: str | os.PathLike[str]) -> list[str]:
        return [sys.executable, "-P", "-m", "llmc", *map(str, words)]

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, **(more or {})}


DOCUMENTS: dict[str, bytes] = {
    "notes/board.md": (
        "# Board meeting, 14 March 2024\n\n"
        "Present: Anna Lindqvist, José Ferreira, Kwame Boateng. Apologies: none.\n\n"
        "The lease of the Rotterdam office was renewed until 31 December 2027. Rent rises to 4,850 EUR a month, "
        "from 4,300 EUR. Anna Lindqvist signed for the company on 11 March 2024.\n\n"
        "José Ferreira reported that churn fell from 3.1% to 2.4% in February. He does not expect it to fall further "
        "before the new billing page is out, which is planned for 2 May 2024.\n\n"
        "Decision: the hiring stop stays in force until the end of June. Kwame Boateng voted against it.\n\n"
        "Next meeting: 18 April 2024, 10:00, room 3.\n"
    ).encode(),
    "notes/todo.txt": b"call the plumber\nbuy stamps\n",
    "mail/re invoice 2024-117.eml": (
        "From: Marta Novák <marta@example.org>\r\nTo: accounts@example.com\r\nDate: Tue, 5 Mar 2024 09:12:44 +0100\r\n"
        "Subject: Re: invoice 2024-117\r\n\r\nHello,\r\n\r\n"
        "we paid invoice 2024-117 over $1,250.00 on 1 March 2024, so the reminder of yesterday must be a mistake. "
        "The transfer has the reference RF18539007547034. Please confirm that the account is balanced.\r\n\r\n"
        "The delivery of 40 chairs is still incomplete: 38 came, 2 are missing. We will not pay the remaining 96.50 USD "
        "before they are here.\r\n\r\nKind regards\r\nMarta\r\n"
    ).encode(),
    "CHANGELOG.md": "".join(
        f"## 2.{minor}.0 - 2024-{minor:02}-0{minor % 9 + 1}\n\n"
        f"- Fixed: a request of more than {minor * 64} KiB no longer stops the worker (#{4100 + minor}).\n"
        f"- Changed: the default timeout is {minor * 5} s; it was {minor * 5 - 5} s.\n"
        f"- Removed: the option `--legacy-{minor}`, deprecated since 1.{minor}.\n\n"
        for minor in range(12, 1, -1)
    ).encode(),
    "unicode/ünïcödé – 日本語.txt": (
        "Grüße aus Zürich. Η τιμή είναι 12 €. 価格は3,000円です。\n"
        "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL} e\u0301 = é \u202e abc\n"
    ).encode(),
    "windows.txt": b"\xef\xbb\xbffirst line\r\nsecond line\r\n\r\nlast line without an end",
    "empty.txt": b"",
    "picture.bin": bytes(range(256)) * 8,
    "latin1.txt": "Caf\xe9 f\xfcr 5 \xa3\n".encode("latin-1"),
}
