// Multiplies matrices of 32-bit integers in blocks, turns the product over in its place, and checks it by another way.
//
// The argument is the size of the product in KiB (4096 without one): it is square, of a high matrix and a wide one whose
// shared side is short, so that the time is spent on memory. Transposing reads rows and columns at once.
#include "guest.h"

enum {
    DEFAULT_KIB = 4096,
    MOST_KIB = 512 << 10,
    // Rows and columns of a block.
    BLOCK = 64,
    // Columns of the high matrix, rows of the wide one.
    SHARED = 4,
};

typedef struct {
    u32 *high;
    u32 *wide;
    u32 *product;
    usize side;
} Matrices;

static void fill(u32 *words, usize count, u32 state) {
    for (usize i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        words[i] = state;
    }
}

static void multiply_block(const Matrices *m, usize row, usize column) {
    for (usize r = row; r < row + BLOCK; r++) {
        const u32 *left = &m->high[r * SHARED];
        for (usize c = column; c < column + BLOCK; c++) {
            u32 sum = 0;
            for (u32 k = 0; k < SHARED; k++) sum += left[k] * m->wide[k * m->side + c];
            m->product[r * m->side + c] = sum;
        }
    }
}

static void transpose_block(const Matrices *m, usize row, usize column) {
    for (usize r = row; r < row + BLOCK; r++) {
        // On the diagonal each pair is met once.
        for (usize c = row == column ? r + 1 : column; c < column + BLOCK; c++) {
            u32 *one = &m->product[r * m->side + c], *other = &m->product[c * m->side + r];
            u32 kept = *one;
            *one = *other;
            *other = kept;
        }
    }
}

static u32 checksum(const u32 *words, usize count) {
    u32 sum = 0;
    for (usize i = 0; i < count; i++) sum = ((sum << 5) | (sum >> 27)) ^ words[i];
    return sum;
}

// A row of weights times the transposed product must be what the weights times the factors are: high * (wide * weights).
static usize wrong_rows(const Matrices *m, const u32 *weights, u32 *sums) {
    u32 short_side[SHARED];
    usize wrong = 0;
    for (u32 k = 0; k < SHARED; k++) {
        short_side[k] = 0;
        for (usize c = 0; c < m->side; c++) short_side[k] += m->wide[k * m->side + c] * weights[c];
    }
    for (usize r = 0; r < m->side; r++) sums[r] = 0;
    for (usize c = 0; c < m->side; c++)
        for (usize r = 0; r < m->side; r++) sums[r] += m->product[c * m->side + r] * weights[c];
    for (usize r = 0; r < m->side; r++) {
        for (u32 k = 0; k < SHARED; k++) sums[r] -= m->high[r * SHARED + k] * short_side[k];
        wrong += sums[r] != 0;
    }
    return wrong;
}

static u32 *words(usize count) {
    return (u32 *)allocate(0, count * sizeof(u32), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void start(void) {
    usize kib = number_argument(DEFAULT_KIB);
    if (kib < 4 || kib > MOST_KIB) {
        say("usage: matrix [KIB], from 4 to 524288");
        ExitProcess(2);
    }
    usize side = BLOCK;
    while ((side + BLOCK) * (side + BLOCK) * sizeof(u32) <= kib << 10) side += BLOCK;
    Matrices m = {words(side * SHARED), words(side * SHARED), words(side * side), side};
    u32 *weights = words(side);

    put("side ");
    put_decimal(side);
    end_line();
    fill(m.high, side * SHARED, 0x2545f491);
    fill(m.wide, side * SHARED, 0x6c078965);
    fill(weights, side, 0x1b873593);
    for (usize row = 0; row < side; row += BLOCK)
        for (usize column = 0; column < side; column += BLOCK) multiply_block(&m, row, column);
    put("product ");
    put_hex(checksum(m.product, side * side));
    end_line();

    for (usize row = 0; row < side; row += BLOCK)
        for (usize column = row; column < side; column += BLOCK) transpose_block(&m, row, column);
    put("transposed ");
    put_hex(checksum(m.product, side * side));
    end_line();

    usize wrong = wrong_rows(&m, weights, words(side));
    put("wrong rows ");
    put_decimal(wrong);
    end_line();
    ExitProcess(wrong == 0 ? 0 : 1);
}
