"""Between llmc and a server that must not outlive it: starts the server and ends it when standard input closes.

    python llmc/engine/_guard.py COMMAND ARGUMENT ...

The kernel closes our standard input however llmc dies, so a ``kill -9`` of llmc leaves no model in memory. It leads the
session that the server and its children are in, and ends as the server ended. Needs nothing of llmc, so that it stays small.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

POLITE_SECONDS = 8


def main() -> None:
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    ended = threading.Event()

    def end(*_: object) -> None:
        server.terminate()
        if not ended.wait(POLITE_SECONDS):
            os.killpg(0, signal.SIGKILL)

    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        end()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
    threading.Thread(target=end_with_parent, daemon=True).start()
    code = server.wait()
    ended.set()
    if code < 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
