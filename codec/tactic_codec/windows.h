/* The linear encoder of a node: one convolution of overlapping windows, from the picture's bytes to
 * symbols, for x86-64 with AVX2. Integers to the last step, so every machine gives the same symbols:
 * symbol = clamp(round half to even((float)(sum + bias) * multiplier)), sum of weight * (pixel - 128),
 * where pixels beyond the border are 128. It is in this library so that one thing has to be built. */
#ifndef TACTIC_WINDOWS_H
#define TACTIC_WINDOWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { COLOURS = 3, TILE = 16, ABREAST = 4, ROWS_AT_ONCE = 8 };

typedef struct {
    size_t height, width, side, stride, pad;
    size_t row;    /* values of a padded row of the picture */
    size_t across; /* symbols of a row of a plane */
    int16_t *rows; /* the last `side` rows, row r of the padded picture at r % side */
    int32_t *sums; /* TILE channels of a row of symbols */
} band;

static band band_of(size_t height, size_t width, size_t side, size_t stride, int16_t *scratch) {
    band b = {.height = height, .width = width, .side = side, .stride = stride};
    b.pad = (side - stride) / 2;
    b.row = COLOURS * (width + 2 * b.pad);
    b.across = width / stride;
    b.rows = scratch;
    b.sums = (int32_t *)(scratch + side * b.row);
    return b;
}

/* int16 values that tactic_windows works in. */
size_t tactic_windows_scratch(size_t width, size_t side, size_t stride) {
    band b = band_of(0, width, side, stride, NULL);
    return side * b.row + 2 * TILE * b.across;
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#define WITH_AVX2 __attribute__((target("avx2")))

/* Asked of the processor itself: zig cannot link what __builtin_cpu_supports needs into a library. */
int32_t tactic_windows_works(void) {
    const uint32_t both = 6; /* halves of the wide registers, which the system must save */
    uint32_t a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & both) != both) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) != 0;
}

/* Row r of the padded picture as pixel - 128. */
WITH_AVX2 static void widen(const band *b, const uint8_t *pixels, size_t r) {
    int16_t *to = b->rows + r % b->side * b->row;
    if (r < b->pad || r >= b->pad + b->height) {
        memset(to, 0, b->row * sizeof *to);
        return;
    }
    const uint8_t *from = pixels + (r - b->pad) * COLOURS * b->width;
    size_t margin = COLOURS * b->pad;
    memset(to, 0, margin * sizeof *to);
    for (size_t i = 0; i < COLOURS * b->width; i++) to[margin + i] = (int16_t)(from[i] - 128);
    memset(to + b->row - margin, 0, margin * sizeof *to);
}

/* Adds some rows of `count` neighbouring windows to the sums of TILE channels. Weights come in pairs
 * of values: a multiplication takes two of them for each of eight channels. */
WITH_AVX2 static inline __attribute__((always_inline)) void add_windows(
    const band *b, const int16_t *weights, size_t first, size_t rows, size_t x, size_t count) {
    __m256i sums[2 * ABREAST];
    __m256i *kept = (__m256i *)(b->sums + x * TILE);
    for (size_t n = 0; n < 2 * count; n++) sums[n] = _mm256_loadu_si256(kept + n);
    for (size_t r = first; r < first + rows; r++) {
        const int16_t *at = b->rows + r % b->side * b->row + x * b->stride * COLOURS;
        for (size_t pair = 0; pair < COLOURS * b->side / 2; pair++, weights += 2 * TILE, at += 2) {
            __m256i low = _mm256_loadu_si256((const __m256i *)weights);
            __m256i high = _mm256_loadu_si256((const __m256i *)weights + 1);
#pragma GCC unroll 4
            for (size_t n = 0; n < count; n++) {
                int32_t two;
                memcpy(&two, at + n * b->stride * COLOURS, sizeof two);
                __m256i value = _mm256_set1_epi32(two);
                sums[2 * n] = _mm256_add_epi32(sums[2 * n], _mm256_madd_epi16(value, low));
                sums[2 * n + 1] =
                    _mm256_add_epi32(sums[2 * n + 1], _mm256_madd_epi16(value, high));
            }
        }
    }
    for (size_t n = 0; n < 2 * count; n++) _mm256_storeu_si256(kept + n, sums[n]);
}

/* The sums of TILE channels of one row of symbols, some rows of weights at a time: those stay in the
 * nearest cache while all windows of the row pass by. */
WITH_AVX2 static void sum_tile(const band *b, const int16_t *weights, size_t top) {
    memset(b->sums, 0, b->across * TILE * sizeof *b->sums);
    size_t row_weights = COLOURS * b->side * TILE;
    for (size_t r = 0; r < b->side; r += ROWS_AT_ONCE) {
        const int16_t *own = weights + r * row_weights;
        size_t x = 0;
        for (; x + ABREAST <= b->across; x += ABREAST)
            add_windows(b, own, top + r, ROWS_AT_ONCE, x, ABREAST);
        for (; x < b->across; x++) add_windows(b, own, top + r, ROWS_AT_ONCE, x, 1);
    }
}

WITH_AVX2 static void symbols_of(const band *b, const int32_t *bias, const float *multiplier,
                                 int8_t *out, size_t plane) {
    const __m256 highest = _mm256_set1_ps(127.0f), lowest = _mm256_set1_ps(-128.0f);
    for (size_t x = 0; x < b->across; x++)
        for (size_t c = 0; c < TILE; c += 8) {
            __m256i sum = _mm256_loadu_si256((const __m256i *)(b->sums + x * TILE + c));
            sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)(bias + c)));
            __m256 real = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(multiplier + c));
            real = _mm256_max_ps(_mm256_min_ps(real, highest), lowest);
            int32_t symbols[8];
            _mm256_storeu_si256((__m256i *)symbols, _mm256_cvtps_epi32(real));
            for (size_t i = 0; i < 8; i++) out[(c + i) * plane + x] = (int8_t)symbols[i];
        }
}

/* Rows first … last - 1 of all planes. Sides are multiples of the stride, channels of TILE, and side
 * of ROWS_AT_ONCE; weights int16 [channels / TILE][side][3 * side / 2][TILE][2]. */
WITH_AVX2 void tactic_windows(const uint8_t *pixels, size_t height, size_t width, size_t first,
                              size_t last, const int16_t *weights, const int32_t *bias,
                              const float *multiplier, size_t channels, size_t side,
                              size_t stride, int8_t *out, int16_t *scratch) {
    band b = band_of(height, width, side, stride, scratch);
    size_t plane = height / stride * b.across, next = first * stride;
    for (size_t y = first; y < last; y++) {
        for (; next < y * stride + side; next++) widen(&b, pixels, next);
        for (size_t c = 0; c < channels; c += TILE) {
            sum_tile(&b, weights + c * COLOURS * side * side, y * stride);
            symbols_of(&b, bias + c, multiplier + c, out + c * plane + y * b.across, plane);
        }
    }
}

#else

int32_t tactic_windows_works(void) { return 0; }

#endif

#endif
