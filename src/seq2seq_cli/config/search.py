"""How much search does at a time, and how wide a beam may be."""

# Source tokens searched at a time. More is not faster on a CPU, where the cached states of decoders
# then no longer fit the processor's caches (recipes/bench/LOG.md).
SEARCH_BATCH_TOKENS = 1024
USUAL_BEAM = 5  # wider beams take smaller batches
MOST_BEAM = 1000  # a wider one is not better, and may not fit into memory
GREEDY_BATCH_TOKENS = 2048  # with one hypothesis a sentence
MOST_WORKERS = 4  # batches searched side by side by default: Python runs in one thread at a time
