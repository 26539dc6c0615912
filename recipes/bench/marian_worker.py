"""Translates with Marian for `decode.py`, under a Python that has pymarian and nothing of ours.

    python marian_worker.py '{"models": "model.npz", ...}'

The argument holds Marian's options. Reads a JSON list of lines from each line of standard input,
and answers with translations, seconds, processor seconds, and the memory of the process in MB.
"""

import json
import os
import resource
import sys
import time


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Marian reports to standard output
    from pymarian import Translator  # type: ignore[import-not-found]

    translator = Translator(**json.loads(sys.argv[1]))
    translator.translate(["a ."])
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        lines = json.loads(line)
        began, used = time.perf_counter(), time.process_time()
        found = translator.translate(lines)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([found, seconds, used, memory]), file=answers, flush=True)


if __name__ == "__main__":
    main()
