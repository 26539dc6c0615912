#!/usr/bin/env bash
# Processes that torchrun starts again find in their store what those before them wrote.
#
# torchrun gives the processes of a machine one key-value store to meet in. When one fails and all are
# started again, they get the same store, with every key of the attempt before, the addresses of
# processes that have ended among them; a process that reads a key before it is written anew takes
# the old one. The comment in torch's source (distributed/rendezvous.py) says that every attempt has a
# store of its own. Switched off with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1, the store is new.
#
# Seen with torch 2.13.0: the second attempt reads the word that the first one wrote.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" torch==2.13.0 numpy
cat >"$folder/worker.py" <<'END2'
import os
import sys
from datetime import timedelta

from torch import distributed

store, _, _ = next(distributed.rendezvous("env://", timeout=timedelta(seconds=60)))
attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
print(attempt, store.check(["word"]) and store.get("word").decode())
store.set("word", f"of attempt {attempt}")
sys.exit(attempt == "0")
END2
attempts() {
    python -m torch.distributed.run --standalone --nproc-per-node=1 --max-restarts=1 \
        "$folder/worker.py" 2>/dev/null
}
found=$(attempts)
echo "$found"
echo "with a store for each attempt:"
apart=$(TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 attempts)
echo "$apart"
[ "$(echo $found)" = "0 False 1 of attempt 0" ] && [ "$(echo $apart)" = "0 False 1 False" ] ||
    { echo "this has changed" >&2; exit 1; }
