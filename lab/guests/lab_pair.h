// What two instances of a lab's program need to take turns: a variable that both see.
#ifndef LAB_PAIR_H
#define LAB_PAIR_H

#include "lab.h"

IMPORT i32 CALL SwitchToThread(void);

// In a section of the image that all its processes share, and write in place.
#define SHARED __attribute__((section(".shared"), shared, aligned(64)))

static volatile u32 turn SHARED = 0;

// Whether this is the first instance: the one that was started with 1.
static i32 is_first(void) {
    return number_argument(1) == 1;
}

// Waits until the other instance has come so far.
static void wait_for_turn(u32 number) {
    while (turn < number) SwitchToThread();
}

// Lets the other instance go on.
static void give_turn(u32 number) {
    turn = number;
}

#endif
