"""The child process behind ``engine=embedded``: serves one GGUF file on a free loopback port until its standard input ends.

    python llmc/engine/embedded_server.py \\
        '{"weights": "m.gguf", "model": "m", "slots": 4, "slot_context_tokens": 4096, "threads": 2}'

Prints one JSON line, ``{"url": "http://127.0.0.1:PORT", "key": "..."}``, when the model is loaded. The key is made anew each
time and every request must carry it: other users of the machine, and pages in its browser, can reach loopback too.
"""

import json
import os
import secrets
import sys
import threading


def main() -> None:
    options = json.loads(sys.argv[1])
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["weights"]
    params.model_alias = {options["model"]}
    params.n_parallel = options["slots"]
    params.n_ctx = options["slots"] * options["slot_context_tokens"]  # without a unified cache each slot has its share
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ctx_shift = False  # a prompt that does not fit is an error, never cut silently
    params.cache_ram_mib = 0  # would keep the state of past prompts, up to 8 GiB; documents do not come twice
    params.ui = False
    params.offline = True
    key = secrets.token_hex(16)
    params.api_keys = [key]
    params.endpoint_props = params.endpoint_metrics = True

    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(str(error))
    print(json.dumps({"url": server.listening_address, "key": key}), flush=True)  # noqa: T201 - the protocol with the parent
    threading.Event().wait()


if __name__ == "__main__":
    main()
