#!/bin/sh
set -a
. /keys/notes.env
exec env VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 '/opt/a server' serve org/model --served-model-name smollm2-135m-instruct --host 127.0.0.1 --port 8000 --max-model-len 512 --max-num-seqs 1 --gpu-memory-utilization 0.9 --kv-cache-dtype auto --enable-prefix-caching --chat-template 'a "b" $HOME 5%'
