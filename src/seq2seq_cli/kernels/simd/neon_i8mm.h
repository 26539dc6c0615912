// Vectors of 64-bit ARM processors with 8-bit products of mixed signs (i8mm): neon.h uses their dot
// products where the compiler has them, and neon_tiles.h those of matrices.

#pragma once

#define HAS_MATRIX_PRODUCTS
#include "neon.h"
