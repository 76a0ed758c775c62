/*
 * tun_io.c - reads from and writes to the tun queue.
 *
 * A read delivers one packet or super-packet behind a virtio header. On 6.7+ one multishot read
 * serves until it ends (no buffer, an error); before, one single read is kept in flight. They
 * are re-armed whenever one is missing, never by a timer.
 *
 * Writes complete while they are submitted. One that the kernel refuses because it does not take
 * joined packets of that kind is cut and written as singles; the worker is told to stop joining.
 */
#include "io/uring.h"

#include <sys/mman.h>

#include "io/segment.h"

int tun_io_create(struct io *io)
{
	size_t bytes = (size_t)WRITE_SLOTS * BUFFER_STRIDE;

	if (io->options.tun_fd < 0)
		return 0;
	io->write_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (io->write_memory == MAP_FAILED) {
		io->write_memory = NULL;
		return -ENOMEM;
	}
	madvise(io->write_memory, bytes, MADV_NOHUGEPAGE);
	madvise(io->write_memory, bytes, MADV_DONTDUMP);
	for (uint32_t i = WRITE_SLOTS; i-- > 0;) {
		io->write_slots[i].id = (uint16_t)i;
		io->write_slots[i].bytes = io->write_memory + (size_t)i * BUFFER_STRIDE;
		io->free_writes[io->free_write_count++] = (uint16_t)i;
	}
	return buffers_create(&io->tun_buffers, &io->ring, GROUP_TUN, TUN_SLOTS);
}

void tun_io_destroy(struct io *io)
{
	if (io->write_memory)
		munmap(io->write_memory, (size_t)WRITE_SLOTS * BUFFER_STRIDE);
	if (io->tun_buffers.memory)
		buffers_destroy(&io->tun_buffers);
}

void tun_io_arm(struct io *io)
{
	bool multishot = io->options.tier >= IO_TIER_6_7;
	uint32_t wanted = multishot ? 1 : TUN_READS_IN_FLIGHT;

	if (io->options.tun_fd < 0 || io->tun_errors >= ERRORS_MAX)
		return;
	while (io->tun_reads < wanted && io->tun_buffers.in_ring > 0) {
		struct io_uring_sqe *sqe = uring_sqe(io);
		if (multishot) {
			compat_prep_read_multishot(sqe, FILE_TUN, GROUP_TUN);
		} else {
			io_uring_prep_read(sqe, FILE_TUN, NULL, SLOT_BYTES, (uint64_t)-1);
			sqe->buf_group = GROUP_TUN;
			sqe->flags |= IOSQE_BUFFER_SELECT;
		}
		sqe->flags |= IOSQE_FIXED_FILE;
		sqe->user_data = TAG(OP_TUN_READ, 0);
		io->tun_reads++;
	}
}

static void read_failed(struct io *io, int error)
{
	if (error == -ECANCELED)
		return;
	if (error == -ENOBUFS) {
		buffers_grow(&io->tun_buffers);
		return;
	}
	if (++io->tun_errors == ERRORS_MAX)
		uring_note(io, &(struct io_event){
				       .type = IO_NOTE, .note = NOTE_TUN_DEAD, .error = -error});
}

bool tun_io_read_done(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
	uint32_t header = io->options.tun_vnet_hdr ? VNET_BYTES : 0;

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		io->tun_reads--;
		if (io->options.tier >= IO_TIER_6_7) {
			count_stat(io->counters, STAT_REARM_TUN, 1);
			PROBE(rearm, io->options.queue, 0, cqe->res);
		}
	}
	if (cqe->res < 0) {
		if (cqe->flags & IORING_CQE_F_BUFFER) {
			buffers_taken(&io->tun_buffers, 0);
			buffers_release(&io->tun_buffers,
					(uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
		}
		read_failed(io, cqe->res);
		return false;
	}
	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return false;

	uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	buffers_taken(&io->tun_buffers, (uint32_t)cqe->res);
	io->tun_errors = 0;
	if ((uint32_t)cqe->res <= header) {
		buffers_release(&io->tun_buffers, id);
		count_drop(io->counters, DROP_TUN_SHORT, 1);
		return false;
	}
	event->type = IO_TUN_RUN;
	event->buffer = id;
	event->packet = buffers_slot(&io->tun_buffers, id) + header;
	event->length = (uint32_t)cqe->res - header;
	if (header)
		memcpy(&event->vnet, buffers_slot(&io->tun_buffers, id), VNET_BYTES);
	else
		memset(&event->vnet, 0, VNET_BYTES);
	return true;
}

uint32_t io_write_slots_free(const struct io *io)
{
	return io->free_write_count;
}

struct write_slot *io_write_slot(struct io *io)
{
	if (io->free_write_count == 0)
		return NULL;
	struct write_slot *slot = &io->write_slots[io->free_writes[--io->free_write_count]];
	slot->used = 0;
	slot->in_flight = 0;
	slot->held = true;
	return slot;
}

static void write_slot_settle(struct io *io, struct write_slot *slot)
{
	if (!slot->held && slot->in_flight == 0)
		io->free_writes[io->free_write_count++] = slot->id;
}

void io_write_slot_done(struct io *io, struct write_slot *slot)
{
	slot->held = false;
	write_slot_settle(io, slot);
}

void io_write(struct io *io, struct write_slot *slot, uint8_t *packet, uint32_t length,
	      const struct virtio_net_hdr *vnet)
{
	struct io_uring_sqe *sqe = uring_sqe(io);
	uint32_t header = io->options.tun_vnet_hdr ? VNET_BYTES : 0;
	uint64_t offset = (uint64_t)(packet - slot->bytes);

	if (header)
		memcpy(packet - VNET_BYTES, vnet, VNET_BYTES);
	io_uring_prep_write(sqe, FILE_TUN, packet - header, length + header, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = TAG(OP_WRITE, (uint64_t)slot->id << 40 | offset << 20 | length);
	slot->in_flight++;
	io->inline_pending++;
	count_stat(io->counters, STAT_TUN_WRITES, 1);
}

/* Cuts a joined packet that the tun refused and writes its segments from other slots. */
static void write_singles(struct io *io, uint8_t *packet, uint32_t length,
			  const struct virtio_net_hdr *vnet)
{
	static const struct virtio_net_hdr plain;
	struct write_slot *slot = NULL;
	struct inner inner;
	struct segmenter s;

	if (inner_parse(packet, length, INBOUND, &inner) != DROP_NONE ||
	    segment_begin(&s, packet, length, vnet, &inner) != DROP_NONE) {
		count_drop(io->counters, DROP_WRITE_ERROR, vnet_packets(vnet, packet, length));
		return;
	}
	for (uint32_t i = 0; i < s.count; i++) {
		uint32_t bytes;
		uint8_t *segment = segment_next(&s, &bytes);
		if (slot && slot->used + WRITE_HEADROOM + bytes > SLOT_BYTES) {
			io_write_slot_done(io, slot);
			slot = NULL;
		}
		if (!slot)
			slot = io_write_slot(io);
		if (!slot) {
			count_drop(io->counters, DROP_WRITE_ERROR, s.count - i);
			return;
		}
		uint8_t *to = slot->bytes + slot->used + WRITE_HEADROOM;
		memcpy(to, segment, bytes);
		count_stat(io->counters, STAT_COPIED_BYTES, bytes);
		slot->used += WRITE_HEADROOM + ((bytes + 15) & ~15u);
		io_write(io, slot, to, bytes, &plain);
	}
	if (slot)
		io_write_slot_done(io, slot);
}

void tun_io_write_done(struct io *io, uint64_t value, int result)
{
	struct write_slot *slot = &io->write_slots[value >> 40];
	uint8_t *packet = slot->bytes + ((value >> 20) & 0xfffff);
	uint32_t length = value & 0xfffff;

	io->inline_pending--;
	if (result < 0) {
		struct virtio_net_hdr vnet = {0};
		if (io->options.tun_vnet_hdr)
			memcpy(&vnet, packet - VNET_BYTES, VNET_BYTES);
		if (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE && result == -EINVAL) {
			enum note note = vnet.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 ? NOTE_USO_OFF
										    : NOTE_TSO_OFF;
			count_stat(io->counters, STAT_TSO_REFUSED, 1);
			uring_note(io, &(struct io_event){
					       .type = IO_NOTE, .note = note, .error = -result});
			write_singles(io, packet, length, &vnet);
		} else {
			count_drop(io->counters, DROP_WRITE_ERROR,
				   vnet_packets(&vnet, packet, length));
		}
	}
	slot->in_flight--;
	write_slot_settle(io, slot);
}
