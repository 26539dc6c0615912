// Products of 8-bit numbers by the instruction of i8mm for matrices: two outputs and two rows of
// inputs, eight numbers deep, in one register each, and the four sums in another. That is twice the
// products of `dot`. Included by tiles.h.

#pragma once

constexpr int TILE_ROWS = 4, TILE_BYTES = 8;

namespace seq2seq {

constexpr bool tiles_enabled = true;

}  // namespace seq2seq

namespace {

inline void configure_tiles(int) {}
inline void release_tiles() {}

// `dot_in_tiles` for PAIRS of rows at most.
template <int C, int PAIRS>
inline void dot_pairs(const int8_t *inputs, int depth, const uint8_t *weights, size_t size,
                      int rows, int32_t *sums) {
    const int8_t *row[2 * PAIRS];  // if there are fewer, the last one again
    for (int r = 0; r < 2 * PAIRS; r++)
        row[r] = inputs + static_cast<size_t>(std::min(r, rows - 1)) * depth;
    // Of each pair of rows with outputs 0 and 1 of a block, and with outputs 2 and 3.
    int32x4_t low[PAIRS][C], high[PAIRS][C];
    for (int p = 0; p < PAIRS; p++)
        for (int c = 0; c < C; c++) low[p][c] = high[p][c] = vdupq_n_s32(0);
    for (int i = 0; i < depth; i += TILE_BYTES) {
        int8x16_t pair[PAIRS];
        for (int p = 0; p < PAIRS; p++)
            pair[p] = vcombine_s8(vld1_s8(row[2 * p] + i), vld1_s8(row[2 * p + 1] + i));
        for (int c = 0; c < C; c++) {
            // Four numbers of each of four outputs, and their next four.
            const uint8_t *block = weights + c * size + static_cast<size_t>(i) * LANES;
            const uint32x4_t four = vreinterpretq_u32_u8(vld1q_u8(block));
            const uint32x4_t next = vreinterpretq_u32_u8(vld1q_u8(block + 16));
            const uint8x16_t lower = vreinterpretq_u8_u32(vzip1q_u32(four, next));
            const uint8x16_t upper = vreinterpretq_u8_u32(vzip2q_u32(four, next));
            for (int p = 0; p < PAIRS; p++) {
                low[p][c] = vusmmlaq_s32(low[p][c], lower, pair[p]);
                high[p][c] = vusmmlaq_s32(high[p][c], upper, pair[p]);
            }
        }
    }
    for (int p = 0; p < PAIRS; p++)
        for (int c = 0; c < C; c++) {
            int32_t *out = sums + 2 * p * 4 * LANES + c * LANES;
            vst1q_s32(out, vuzp1q_s32(low[p][c], high[p][c]));
            vst1q_s32(out + 4 * LANES, vuzp2q_s32(low[p][c], high[p][c]));
        }
}

// As the other function of this name: signed inputs (rows, depth) times C blocks of 4 outputs ->
// sums (rows, 16), of which C x 4 columns are set. Room is for TILE_ROWS.
template <int C>
inline void dot_in_tiles(const int8_t *inputs, int depth, const uint8_t *weights, size_t size,
                         int rows, int32_t *sums) {
    if (rows > 2)
        dot_pairs<C, 2>(inputs, depth, weights, size, rows, sums);
    else
        dot_pairs<C, 1>(inputs, depth, weights, size, rows, sums);
}

}  // namespace
