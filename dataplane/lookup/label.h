/*
 * label.h - the flow label: which worker of the receiver a packet is for (PROTOCOL.md 1.1).
 *
 * Under plain SO_REUSEPORT one peer is one 4-tuple, so one socket and one core. A label in the
 * header lets the receiver spread the flows of one tunnel: its worker for a packet is
 * (index + label) modulo workers, by the classic BPF program of the reuseport group where the
 * kernel can, by a hand-over between workers (handover.h) where it cannot.
 *
 * Decisions. 0 is "no label": what a stock peer sends stays where it came. A sender has as many
 * labels as workers, and one that has a single worker writes none: packets of different labels
 * cannot share a train, so each label more makes trains of small packets shorter, and more of the
 * receiver's workers than the sender has would not have more to do. A bystander tells few flows
 * apart by so few. The hash is a PRF (SipHash-1-3) with a key of the process, so that nobody can
 * tell which flow a label stands for, nor choose flows that meet on one worker.
 */
#ifndef M57_LABEL_H
#define M57_LABEL_H

#include "limits.h"
#include "lookup/inner.h"
#include "wire.h"

_Static_assert(QUEUES_MAX <= FLOW_LABELS_MAX && FLOW_LABELS_MAX < WIRE_LABEL_SPARSE,
	       "a label for each worker, and none is the sparse one");

struct label_key {
	uint64_t words[2];
	uint32_t labels; /* in use: 1 to FLOW_LABELS_MAX */
};

/* The same for every packet of a flow, 1 to key->labels; fragments go by addresses and protocol. */
uint16_t label_of(const struct label_key *key, const struct inner *inner);

/* The worker that a labelled datagram of index belongs to; steer.c has it as a BPF program. */
static inline uint32_t label_owner(uint32_t index, uint16_t label, uint32_t queues)
{
	return (index + label) % queues;
}

#endif
