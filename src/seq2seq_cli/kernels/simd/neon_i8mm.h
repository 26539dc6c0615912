// Vectors of 64-bit ARM processors whose dot products also take bytes of mixed signs (i8mm): neon.h
// uses these where the compiler has them.

#pragma once

#include "neon.h"
