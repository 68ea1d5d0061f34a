/* rANS whose tables are chosen by decoded symbols: 32-bit state, 16-bit little-endian words,
 * 14-bit frequencies. Normative text: docs/wire-format.md, "Contexts" and "Stream". Twin:
 * rans_twin.py, byte for byte. Tables and contexts come from prepared.py, which has them from
 * validated models, and are trusted; symbols and stream bytes are not. */
#include <stddef.h>
#include <stdint.h>

#include "contexts.h"
#include "windows.h"

#define SCALE_BITS 14
#define SCALE (1u << SCALE_BITS)
#define LOWER (1u << 16)
#define RECIPROCAL_BITS 46
#define SYMBOLS 256
#define ENTRIES (SYMBOLS + 1)
#define RAW_FREQ 64u
#define RAW_LIMIT (RAW_FREQ << 18)
#define RARE(condition) __builtin_expect(!!(condition), 0)

enum { COMPLETE, CUT, NOT_CANONICAL, NO_ROOM };

typedef struct {
    uint64_t reciprocal;
    uint32_t limit;      /* freq << 18; 0: the symbol is escaped */
    uint16_t start;
    uint16_t complement; /* 2^14 - freq */
} entry;

typedef struct { uint16_t freq, start; } range;

typedef struct {
    int16_t escape; /* index that stands for the escape, or -1 */
    int16_t likely; /* index of a symbol worth guessing, with its range; freq 0: none */
    range common;
} hint;

typedef struct {
    uint64_t symbols;  /* decoded, in stream order */
    uint64_t consumed; /* words read */
    uint32_t state;
    int32_t fault;
} outcome;

int32_t tactic_rans_version(void) { return 2; }

/* Bytes of memory that models with an ADAPTIVE context need; SIZE_MAX: too many symbols. */
size_t tactic_rans_scratch(size_t channels, size_t height, size_t width) {
    size_t count = count_symbols(channels, height, width);
    return count == SIZE_MAX ? SIZE_MAX : scratch_bytes(channels, height, width);
}

/* ---- encoder ---- */

static inline uint32_t shrink(uint32_t x, uint32_t limit, uint8_t **out) {
    if (x >= limit) {
        *out -= 2;
        (*out)[0] = (uint8_t)x;
        (*out)[1] = (uint8_t)(x >> 8);
        x >>= 16;
    }
    return x;
}

static inline uint32_t put(uint32_t x, const entry *e, uint8_t **out) {
    x = shrink(x, e->limit, out);
    uint32_t quotient = (uint32_t)((x * e->reciprocal) >> RECIPROCAL_BITS);
    return x + e->start + quotient * e->complement;
}

/* One symbol + 128, whose residual has the index in table. */
static inline uint32_t put_symbol(uint32_t x, const entry *table, uint8_t index, uint8_t symbol,
                                  uint8_t **out) {
    if (RARE(table[index].limit == 0)) {
        x = shrink(x, RAW_LIMIT, out);
        x = (x / RAW_FREQ << SCALE_BITS) + x % RAW_FREQ + symbol * RAW_FREQ;
        index = 0;
        table += SYMBOLS;
    }
    return put(x, table + index, out);
}

/* Turns the sums of mean and scale into residuals + 128 and tables. */
static void choose_all(const context *k, size_t count, const int16_t *restrict plane,
                       int32_t *restrict mean, int32_t *restrict scale) {
    const context own = *k;
    for (size_t i = 0; i < count; i++) {
        int32_t base;
        scale[i] = (int32_t)choose(&own, mean[i], scale[i], &base);
        mean[i] = plane[i] - base + 128;
    }
}

static uint32_t put_adaptive(uint32_t x, const workspace *w, const context *k, const tap *taps,
                             size_t channel, const entry *entries, uint8_t **out) {
    const int16_t *plane = inside(w->signed_planes, w, channel);
    accumulate(w, k, taps, channel + 1);
    choose_all(k, w->plane, plane, w->mean, w->scale);
    for (size_t y = w->plane / w->row; y-- > 0;)
        for (size_t i = (y + 1) * w->row - 1; i-- > y * w->row;)
            x = put_symbol(x, entries + (size_t)w->scale[i] * ENTRIES, (uint8_t)w->mean[i],
                           (uint8_t)(plane[i] + 128), out);
    return x;
}

/* Writes backwards from the end of out; returns the bytes written, -1 if out (4 bytes, and 4 for
 * each symbol) or scratch (tactic_rans_scratch, or none if no context is ADAPTIVE) is too small. */
int64_t tactic_rans_encode(const int8_t *symbols, size_t channels, size_t height, size_t width,
                           const context *contexts, const tap *taps, const entry *entries,
                           uint8_t *out, size_t capacity, int32_t *scratch, size_t room) {
    size_t count = count_symbols(channels, height, width), plane = height * width;
    if (count == SIZE_MAX || capacity < 4 + 4 * count) return -1;
    workspace w = {0};
    if (room != 0) {
        if (room < scratch_bytes(channels, height, width)) return -1;
        w = layout(channels, height, width, scratch);
        for (size_t c = 0; c < channels; c++)
            keep(&w, c, contexts[c].mode == CONSTANT ? NULL : symbols + c * plane,
                 contexts[c].value);
    }
    uint8_t *cursor = out + capacity;
    uint32_t x = LOWER;
    for (size_t c = channels; c-- > 0;) {
        const context *k = contexts + c;
        if (k->mode == ADAPTIVE) {
            if (room == 0) return -1;
            x = put_adaptive(x, &w, k, taps, c, entries, &cursor);
        } else if (k->mode == STATIC) {
            const entry *table = entries + (size_t)k->first * ENTRIES;
            const int8_t *row = symbols + c * plane;
            for (size_t i = plane; i-- > 0;) {
                uint8_t value = (uint8_t)(row[i] + 128);
                x = put_symbol(x, table, value, value, &cursor);
            }
        }
    }
    cursor -= 4;
    for (int i = 0; i < 4; i++) cursor[i] = (uint8_t)(x >> 8 * i);
    return out + capacity - cursor;
}

/* ---- decoder ---- */

typedef struct {
    const uint8_t *words, *end;
    const uint8_t *slots;
    const range *ranges;
    const hint *hints;
    uint32_t x;
    int32_t fault;
} reader;

#define REFILL                                                             \
    if (r->x < LOWER) {                                                    \
        if (RARE(r->words == r->end)) { r->fault = CUT; return 0; }        \
        r->x = r->x << 16 | r->words[0] | (uint32_t)r->words[1] << 8;      \
        r->words += 2;                                                     \
    }

/* One symbol; where r->fault is set there was none. */
static inline int8_t take(reader *r, const uint8_t *slots, const range *table, hint h,
                          int32_t base) {
    REFILL
    uint32_t low = r->x & (SCALE - 1);
    /* A guess that is mostly right spares two dependent loads. */
    if (low - h.common.start < h.common.freq) {
        r->x = h.common.freq * (r->x >> SCALE_BITS) + (low - h.common.start);
        return (int8_t)(base + h.likely - 128);
    }
    uint32_t index = slots[low];
    r->x = table[index].freq * (r->x >> SCALE_BITS) + (low - table[index].start);
    if (RARE((int32_t)index == h.escape)) {
        REFILL
        low = r->x & (SCALE - 1);
        r->x = RAW_FREQ * (r->x >> SCALE_BITS) + low % RAW_FREQ;
        uint8_t own = (uint8_t)(low / RAW_FREQ - (uint32_t)base);
        if (own != h.escape && table[own].freq) r->fault = NOT_CANONICAL;
        return (int8_t)((int32_t)(low / RAW_FREQ) - 128);
    }
    return (int8_t)(base + (int32_t)index - 128);
}

static size_t take_static(reader *in, size_t number, int8_t *symbols, size_t count) {
    reader r = *in; /* copies that the loop keeps in registers */
    const uint8_t *slots = r.slots + number * SCALE;
    const range *table = r.ranges + number * SYMBOLS;
    const hint h = r.hints[number];
    size_t i;
    for (i = 0; i < count; i++) {
        int8_t s = take(&r, slots, table, h, 0);
        if (RARE(r.fault)) break;
        symbols[i] = s;
    }
    *in = r;
    return i;
}

static size_t take_adaptive(reader *in, const workspace *w, const context *pointer,
                            const tap *taps, size_t channel, int8_t *symbols) {
    reader r = *in;
    const context k = *pointer;
    int16_t *plane = inside(w->signed_planes, w, channel);
    int16_t *magnitudes = inside(w->magnitudes, w, channel);
    size_t width = w->row - 1, done = 0;
    accumulate(w, &k, taps, channel);
    keep(w, channel, NULL, 0);
    for (size_t at = 0; at < w->plane && !r.fault; at += w->row) {
        const int32_t *mean = w->mean + at, *scale = w->scale + at;
        int32_t mean_left = 0, scale_left = 0, left = 0, magnitude = 0;
        add_own(w, &k, taps, channel, at, &mean_left, &scale_left);
        for (size_t x = 0; x < width; x++) {
            int32_t base;
            size_t number = choose(&k, mean[x] + mean_left * left,
                                   scale[x] + scale_left * magnitude, &base);
            left = take(&r, r.slots + number * SCALE, r.ranges + number * SYMBOLS,
                        r.hints[number], base);
            if (RARE(r.fault)) break;
            magnitude = left < 0 ? -left : left;
            symbols[done++] = (int8_t)left;
            plane[at + x] = (int16_t)left;
            magnitudes[at + x] = (int16_t)magnitude;
        }
    }
    *in = r;
    return done;
}

/* words: count 16-bit words after the state. symbols must hold channels * height * width bytes;
 * only what is decoded is written. scratch as for the encoder. */
void tactic_rans_decode(const uint8_t *words, size_t count, uint32_t state,
                        size_t channels, size_t height, size_t width,
                        const context *contexts, const tap *taps,
                        const uint8_t *slots, const range *ranges, const hint *hints,
                        int8_t *symbols, outcome *result, int32_t *scratch, size_t room) {
    reader r = {words, words + 2 * count, slots, ranges, hints, state, COMPLETE};
    uint64_t done = 0;
    size_t plane = height * width;
    workspace w = {0};
    if (count_symbols(channels, height, width) == SIZE_MAX) r.fault = NO_ROOM;
    else if (room != 0) {
        if (room < scratch_bytes(channels, height, width)) r.fault = NO_ROOM;
        else w = layout(channels, height, width, scratch);
    }
    for (size_t c = 0; c < channels && !r.fault; c++) {
        const context *k = contexts + c;
        int8_t *own = symbols + c * plane;
        if (k->mode == ADAPTIVE) {
            if (room == 0) { r.fault = NO_ROOM; break; }
            done += take_adaptive(&r, &w, k, taps, c, own);
            continue;
        }
        done += k->mode == CONSTANT ? plane : take_static(&r, (size_t)k->first, own, plane);
        if (room != 0) keep(&w, c, k->mode == CONSTANT ? NULL : own, k->value);
    }
    *result = (outcome){done, (uint64_t)(r.words - words) / 2, r.x, r.fault};
}
