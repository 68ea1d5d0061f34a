/* Decoded symbols choose the table of a symbol: sums over whole planes, and the choice itself.
 * Normative text: docs/wire-format.md, "Contexts". Models are validated so that no sum leaves
 * 32 bits. Right shifts of negative numbers are arithmetic with every compiler in use. */
#ifndef TACTIC_CONTEXTS_H
#define TACTIC_CONTEXTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { CONSTANT, STATIC, ADAPTIVE };

typedef struct { uint16_t channel; int16_t dy, dx, weight; } tap;

typedef struct {
    int32_t mode, value; /* value: the symbol of a constant channel */
    int32_t first, bins, lowest, fractions, bias;
    uint32_t mean, scale, end; /* taps of the mean, then of the scale */
} context;

/* Planes lie in rows of width + 1 with a zero at the end of each, and with zeros before and
 * after: so every neighbour has an address, and a tap is one loop over a whole plane. */
typedef struct {
    size_t row, plane, padded; /* elements */
    int32_t *mean, *scale;
    int16_t *signed_planes, *magnitudes;
} workspace;

/* channels * height * width, or SIZE_MAX where that is more than memory can be made for. */
static size_t count_symbols(size_t channels, size_t height, size_t width) {
    size_t limit = SIZE_MAX / 64;
    if (height >= limit || width >= limit || height + 2 > limit / (width + 1)) return SIZE_MAX;
    if (channels > limit / ((height + 2) * (width + 1))) return SIZE_MAX;
    return channels * height * width;
}

static size_t padded_elements(size_t height, size_t width) {
    return (height + 2) * (width + 1) + 2;
}

/* Bytes; no more than SIZE_MAX / 4 where count_symbols gives a number. */
static size_t scratch_bytes(size_t channels, size_t height, size_t width) {
    return 2 * sizeof(int32_t) * height * (width + 1)
        + 2 * sizeof(int16_t) * channels * padded_elements(height, width);
}

static workspace layout(size_t channels, size_t height, size_t width, int32_t *scratch) {
    workspace w = {.row = width + 1, .plane = height * (width + 1), .mean = scratch};
    w.padded = padded_elements(height, width);
    w.scale = w.mean + w.plane;
    w.signed_planes = (int16_t *)(w.scale + w.plane);
    w.magnitudes = w.signed_planes + channels * w.padded;
    return w;
}

static int16_t *inside(int16_t *planes, const workspace *w, size_t channel) {
    return planes + channel * w->padded + w->row + 1;
}

/* Keep a decoded plane for the taps of later ones; symbols is NULL where all are value. */
static void keep(const workspace *w, size_t channel, const int8_t *symbols, int32_t value) {
    int16_t *plane = w->signed_planes + channel * w->padded;
    int16_t *magnitudes = w->magnitudes + channel * w->padded;
    memset(plane, 0, w->padded * sizeof *plane);
    size_t width = w->row - 1;
    for (size_t y = 0; y < w->plane / w->row; y++) {
        int16_t *row = plane + (y + 1) * w->row + 1;
        for (size_t x = 0; x < width; x++)
            row[x] = symbols ? symbols[y * width + x] : (int16_t)value;
    }
    for (size_t i = 0; i < w->padded; i++)
        magnitudes[i] = (int16_t)(plane[i] < 0 ? -plane[i] : plane[i]);
}

static void add(int32_t *restrict sums, const int16_t *restrict plane, size_t count,
                int16_t weight) {
    for (size_t i = 0; i < count; i++) sums[i] += (int32_t)weight * plane[i];
}

/* A plane as a tap sees it, and the tap's weight. */
typedef struct { const int16_t *plane; int16_t weight; } term;

enum { MOST_TERMS = 32 };

/* sums = bias + all terms. With SSE2, which every x86-64 has, two terms at once and the sums of
 * eight places in registers. */
static void sum_terms(int32_t *sums, size_t count, const term *terms, size_t n, int32_t bias) {
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 8 <= count; i += 8) {
        __m128i low = _mm_set1_epi32(bias), high = low;
        for (size_t t = 0; t < n; t += 2) {
            const term *other = terms + (t + 1 < n ? t + 1 : t);
            __m128i a = _mm_loadu_si128((const __m128i *)(terms[t].plane + i));
            __m128i b = _mm_loadu_si128((const __m128i *)(other->plane + i));
            uint32_t second = other == terms + t ? 0 : (uint16_t)other->weight;
            __m128i w = _mm_set1_epi32((int32_t)(second << 16 | (uint16_t)terms[t].weight));
            low = _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), w));
            high = _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi16(a, b), w));
        }
        _mm_storeu_si128((__m128i *)(sums + i), low);
        _mm_storeu_si128((__m128i *)(sums + i + 4), high);
    }
#endif
    for (size_t at = i; at < count; at++) sums[at] = bias;
    for (size_t t = 0; t < n; t++) add(sums + i, terms[t].plane + i, count - i, terms[t].weight);
}

/* Sums of the taps that lie in channels below limit. */
static void accumulate(const workspace *w, const context *k, const tap *taps, size_t limit) {
    term terms[2 * MOST_TERMS];
    size_t means = 0, n = 0;
    for (uint32_t t = k->mean; t < k->end; t++) {
        if (t == k->scale) means = n;
        if (taps[t].channel >= limit) continue;
        const int16_t *planes = t < k->scale ? w->signed_planes : w->magnitudes;
        ptrdiff_t step = taps[t].dy * (ptrdiff_t)w->row + taps[t].dx;
        terms[n++] = (term){inside((int16_t *)planes, w, taps[t].channel) + step, taps[t].weight};
    }
    if (k->scale == k->end) means = n;
    sum_terms(w->mean, w->plane, terms, means, 0);
    sum_terms(w->scale, w->plane, terms + means, n - means, k->bias);
}

/* Adds the taps on the row above to a row of sums; gives the weights of those on the left. */
static void add_own(const workspace *w, const context *k, const tap *taps, size_t channel,
                    size_t at, int32_t *mean_left, int32_t *scale_left) {
    for (uint32_t t = k->mean; t < k->end; t++) {
        if (taps[t].channel != channel) continue;
        int is_mean = t < k->scale;
        if (taps[t].dy == 0) {
            *(is_mean ? mean_left : scale_left) = taps[t].weight;
        } else {
            const int16_t *above = inside(is_mean ? w->signed_planes : w->magnitudes, w, channel);
            add((is_mean ? w->mean : w->scale) + at, above + at - w->row + taps[t].dx,
                w->row - 1, taps[t].weight);
        }
    }
}

/* Table and base. As a float, a magnitude has its octave in the exponent and the quarter of the
 * octave in the two bits behind; without the bits that are cleared it is never rounded up. */
static inline uint32_t choose(const context *k, int32_t mean, int32_t scale, int32_t *base) {
    int32_t fine = k->fractions == 4;
    int32_t quarters = fine ? (mean + 32) >> 6 : ((mean + 128) >> 8) * 4;
    int32_t b = quarters >> 2;
    b = b < -128 ? -128 : b;
    *base = b > 127 ? 127 : b;
    int32_t a = scale < 1 ? 1 : scale;
    float magnitude = (float)(a & ~(a >> 24));
    int32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    int32_t bin = (bits >> 21) - 4 * 127 - k->lowest;
    bin = bin < 0 ? 0 : bin;
    bin = bin > k->bins - 1 ? k->bins - 1 : bin;
    return (uint32_t)(k->first + (bin << (fine ? 2 : 0)) + (quarters & 3));
}

#endif
