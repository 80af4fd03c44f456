#!/bin/sh
set -a
. /keys/notes.env
exec env '/opt/a server' --model /data/model.gguf --alias smollm2-135m-instruct --host 127.0.0.1 --port 8080 --parallel 1 --ctx-size 512 --no-kv-unified --device none --threads 2 --flash-attn auto --cache-type-k f16 --cache-type-v f16 --cache-prompt --cache-ram 0 --no-context-shift --metrics --no-webui --offline --log-verbosity 4
