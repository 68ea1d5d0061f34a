/* Decoded symbols choose the table of a symbol: sums over whole planes, and the choice itself.
 * Normative text: docs/wire-format.md, "Contexts". Models are validated so that no sum leaves
 * 32 bits. Right shifts of negative numbers are arithmetic with every compiler in use. */
#ifndef TACTIC_CONTEXTS_H
#define TACTIC_CONTEXTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Sums of the taps that lie in channels below limit. */
static void accumulate(const workspace *w, const context *k, const tap *taps, size_t limit) {
    for (size_t i = 0; i < w->plane; i++) w->mean[i] = 0;
    for (size_t i = 0; i < w->plane; i++) w->scale[i] = k->bias;
    for (uint32_t t = k->mean; t < k->end; t++) {
        if (taps[t].channel >= limit) continue;
        int16_t *planes = t < k->scale ? w->signed_planes : w->magnitudes;
        ptrdiff_t step = taps[t].dy * (ptrdiff_t)w->row + taps[t].dx;
        add(t < k->scale ? w->mean : w->scale, inside(planes, w, taps[t].channel) + step,
            w->plane, taps[t].weight);
    }
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

static inline uint32_t choose(const context *k, int32_t mean, int32_t scale, int32_t *base) {
    int32_t quarters = k->fractions == 4 ? (mean + 32) >> 6 : ((mean + 128) >> 8) * 4;
    int32_t b = quarters >> 2;
    *base = b < -128 ? -128 : b > 127 ? 127 : b;
    uint32_t a = scale < 1 ? 1u : (uint32_t)scale;
    int32_t octave = 31 - __builtin_clz(a);
    int32_t bin = 4 * octave + (int32_t)(a << 2 >> octave & 3) - k->lowest;
    bin = bin < 0 ? 0 : bin >= k->bins ? k->bins - 1 : bin;
    return (uint32_t)(k->first + bin * k->fractions + (quarters & 3));
}

#endif
