"""Parallel text to batches of token ids.

To read how text becomes batches, begin with `parallel`, `pair_tokenizer` and `batching`.

- `formats`: kinds of files and data sets that hold text, one file for each
- `sources`: texts as the user names them
- `parallel`: sentence pairs from sources, of one corpus or several
- `contents`: hashes of the files of a run
- `alignments`: word alignments from Pharaoh files, for the pieces of words
- `cache`: a folder of what is computed once
- `tokenizers`: tokenizers trained on corpora, in the cache or in a file
- `batch`: a batch as padded tensors
- `sentence_arrays`: token ids of many sentences, in memory or in a mapped file
- `token_pairs`: tokenised pairs, and batches of them
- `joining`: neighbouring pairs joined at random
- `batching`: batches by number of tokens, in a reproducible order
- `pair_tokenizer`: sentence pairs to tokens, and which pairs are used
- `repetitions`: pairs that occur more than once, by hashes
- `token_blocks`: blocks of a tokenised corpus on disk, for a process that goes on
- `tokenising`: a corpus to blocks, in several processes
- `token_store`: tokenised corpora on disk
- `sentence_counts`: whether lines hold one sentence or several
- `streaming`: text that is read as it is needed
- `prefetch`: batches that are made ahead, in a thread
- `lexicon`: which token translates which, from sentence pairs
"""
