"""Models of Firefox and Bergamot: small, in 8 bits, with a lexical shortlist.

- `lexical_shortlist`: shortlists of Marian in both forms, and ours
- `numpy_transformer`: a Transformer in plain numpy, to measure what its layers read
- `activation_scales`: scales of 8-bit activations, measured on sentences
- `files`: which files make up a model, and what they hold
- `engine`: translates with fxtranslate, to compare
- `reader`: models of Marian's binary container with their vocabularies and shortlists
- `writer`: runs as such models
"""
