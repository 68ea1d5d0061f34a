/* Static-table rANS: 32-bit state, 16-bit little-endian words, 14-bit frequencies.
 * Normative text: docs/wire-format.md, "Stream". Twin: rans_twin.py, byte for byte.
 * The tables come from prepared.py and are trusted; symbols and stream bytes are not. */
#include <stddef.h>
#include <stdint.h>

#define SCALE_BITS 14
#define SCALE (1u << SCALE_BITS)
#define LOWER (1u << 16)
#define RECIPROCAL_BITS 46
#define SYMBOLS 256
#define RAW_FREQ 64u
#define RAW_LIMIT (RAW_FREQ << 18)
#define CONSTANT (-2)
#define CUT 1
#define NOT_CANONICAL 2
#define RARE(condition) __builtin_expect(!!(condition), 0)

typedef struct {
    uint64_t reciprocal;
    uint32_t limit;      /* freq << 18; 0: the symbol is escaped */
    uint16_t start;
    uint16_t complement; /* 2^14 - freq */
} entry;

typedef struct { uint16_t freq, start; } range;

typedef struct {
    int16_t escape; /* index that stands for the escape, -1: none, CONSTANT */
    int16_t likely; /* index of a symbol worth guessing, -1: none */
} kind;

typedef struct {
    uint64_t symbols;  /* decoded, in stream order */
    uint64_t consumed; /* words read */
    uint32_t state;
    int32_t fault;     /* 0, CUT: words ran out, NOT_CANONICAL: needless escape */
} outcome;

int32_t tactic_rans_version(void) { return 1; }

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

static uint32_t put_escaped(uint32_t x, uint8_t value, const entry *escape, uint8_t **out) {
    x = shrink(x, RAW_LIMIT, out);
    x = (x / RAW_FREQ << SCALE_BITS) + x % RAW_FREQ + value * RAW_FREQ;
    return put(x, escape, out);
}

/* Writes backwards from the end of out; returns the bytes written, -1 if out could be too small:
 * it must hold 4 bytes and 4 for each symbol. */
int64_t tactic_rans_encode(const int8_t *symbols, size_t channels, size_t plane,
                           const entry *entries, const kind *kinds,
                           uint8_t *out, size_t capacity) {
    if (plane != 0 && channels > (SIZE_MAX / 4 - 1) / plane) return -1;
    if (capacity < 4 + 4 * channels * plane) return -1;
    uint8_t *cursor = out + capacity;
    uint32_t x = LOWER;
    for (size_t c = channels; c-- > 0;) {
        if (kinds[c].escape == CONSTANT) continue;
        const entry *table = entries + c * (SYMBOLS + 1);
        const int8_t *row = symbols + c * plane;
        for (size_t i = plane; i-- > 0;) {
            uint8_t value = (uint8_t)(row[i] + 128);
            if (RARE(table[value].limit == 0))
                x = put_escaped(x, value, table + SYMBOLS, &cursor);
            else
                x = put(x, table + value, &cursor);
        }
    }
    cursor -= 4;
    for (int i = 0; i < 4; i++) cursor[i] = (uint8_t)(x >> 8 * i);
    return out + capacity - cursor;
}

#define REFILL                                              \
    if (x < LOWER) {                                        \
        if (RARE(words == end)) { fault = CUT; break; }     \
        x = x << 16 | words[0] | (uint32_t)words[1] << 8;   \
        words += 2;                                         \
    }

/* words: count 16-bit words after the state. symbols must hold channels * plane bytes; only what
 * is decoded is written. */
void tactic_rans_decode(const uint8_t *words, size_t count, uint32_t state,
                        size_t channels, size_t plane,
                        const uint8_t *slots, const range *ranges, const kind *kinds,
                        int8_t *symbols, outcome *result) {
    const uint8_t *first = words, *end = words + 2 * count;
    uint64_t done = 0;
    uint32_t x = state;
    int32_t fault = 0;
    for (size_t c = 0; c < channels && !fault; c++) {
        size_t i = plane;
        if (kinds[c].escape != CONSTANT) {
            const uint8_t *slot = slots + c * SCALE;
            const range *table = ranges + c * SYMBOLS;
            int8_t *row = symbols + c * plane;
            const uint32_t escape = (uint32_t)kinds[c].escape;
            const int16_t likely = kinds[c].likely;
            const range common = likely < 0 ? (range){0, 0} : table[likely];
            for (i = 0; i < plane; i++) {
                REFILL
                uint32_t low = x & (SCALE - 1), value;
                /* A guess that is mostly right spares two dependent loads. */
                if (low - common.start < common.freq) {
                    x = common.freq * (x >> SCALE_BITS) + (low - common.start);
                    row[i] = (int8_t)(likely - 128);
                    continue;
                }
                value = slot[low];
                x = table[value].freq * (x >> SCALE_BITS) + (low - table[value].start);
                if (RARE(value == escape)) {
                    REFILL
                    low = x & (SCALE - 1);
                    value = low / RAW_FREQ;
                    x = RAW_FREQ * (x >> SCALE_BITS) + low % RAW_FREQ;
                    if (value != escape && table[value].freq) { fault = NOT_CANONICAL; break; }
                }
                row[i] = (int8_t)((int32_t)value - 128);
            }
        }
        done += i;
    }
    *result = (outcome){done, (uint64_t)(words - first) / 2, x, fault};
}
