"""Compiled kernels, optional: where they cannot be built, torch does the same work, more slowly.

Tensors are contiguous and on the CPU; those of `inference` are float32.

- `prototypes`: declares C functions and structs, in C's own words
- `arrays`: arrays of numpy as kernels read them
- `stamp`: tells a library that fits from a damaged one and from another version's
- `library`: chooses the build for this processor and loads it
- `simd`: the vector functions that kernels are written in: scalar.h specifies them, and each kind
  of processor has a header
- `inference`: kernels of search, each a .cpp with the .py that calls it
- `training`: kernels of a training step
- `autograd`: autograd functions, each a kernel beside its reference in PyTorch
"""
