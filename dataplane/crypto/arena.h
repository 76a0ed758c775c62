/*
 * crypto/arena.h - one locked, undumpable block of memory for all tunnel keys.
 *
 * Control thread only. A slot never moves, so workers read keys without knowing of the arena.
 */
#ifndef M57_ARENA_H
#define M57_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* slots of slot_bytes (a multiple of 64) each; memory is taken as slots are. NULL: no memory. */
struct arena *arena_create(size_t slots, size_t slot_bytes);
void arena_destroy(struct arena *arena); /* wipes what was taken */

/* Slot i, zeroed, 64-byte aligned; taken or not. A failed lock is counted, not an error. */
void *arena_take(struct arena *arena, size_t i);
/* Wipes slot i. */
void arena_give_back(struct arena *arena, size_t i);

/* Pieces of memory that hold keys and could not be locked (RLIMIT_MEMLOCK); 0: all are. */
uint64_t arena_lock_failures(const struct arena *arena);

#endif
