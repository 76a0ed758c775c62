/*
 * inner_fuzz.c - libFuzzer target: a packet as the tun hands it over (make fuzz T=inner): ten bytes
 * of virtio_net_hdr, then the packet. It is parsed, cut into segments, and what was cut is joined
 * again; nothing leaves its buffer, and no payload byte is lost or made up.
 */
#include <netinet/in.h>

#include "fuzz.h"
#include "io/join.h"
#include "io/segment.h"

#define VNET_BYTES 10
#define AREA_BYTES (66u << 10)

static uint8_t area[AREA_BYTES]; /* of the chain */

struct joiner {
	struct chain chain;
	bool open;
	uint32_t joined, packets;
};

static void finish(struct joiner *joiner)
{
	struct virtio_net_hdr vnet;

	if (!joiner->open)
		return;
	join_finish(&joiner->chain, &vnet);
	fuzz_check(joiner->chain.length <= joiner->chain.capacity);
	fuzz_check((joiner->chain.count > 1) == (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE));
	joiner->open = false;
}

static void join(struct joiner *joiner, const uint8_t *packet, uint32_t length)
{
	uint8_t saved[INNER_HEADER_MAX], *place;
	struct inner inner;
	enum join_kind kind;

	if (inner_parse(packet, length, INBOUND, &inner) != DROP_NONE)
		return;
	kind = join_classify(packet, length, &inner, true, true);
	place = joiner->open ? join_place(&joiner->chain, length, saved) : NULL;
	if (place) {
		fuzz_check(place >= area && place + length <= area + AREA_BYTES);
		memcpy(place, packet, length);
		if (join_accept(&joiner->chain, place, length, &inner, kind, saved))
			return;
		join_restore(&joiner->chain, saved);
	}
	finish(joiner);
	if (kind != JOIN_DATA)
		return;
	memcpy(area, packet, length);
	join_begin(&joiner->chain, area, length, AREA_BYTES, &inner);
	joiner->open = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct joiner joiner = {0};
	struct virtio_net_hdr vnet;
	struct segmenter segmenter;
	struct inner inner;
	uint8_t *packet;
	uint32_t length, headers, total = 0;

	if (size < VNET_BYTES || size > VNET_BYTES + 65535)
		return 0;
	memset(&vnet, 0, sizeof(vnet));
	memcpy(&vnet, data, VNET_BYTES);
	length = (uint32_t)size - VNET_BYTES;
	packet = fuzz_exact(data + VNET_BYTES, length);
	if (inner_parse(packet, length, OUTBOUND, &inner) != DROP_NONE)
		goto out;
	fuzz_check(inner.ip_length <= length && inner.l3_bytes <= inner.ip_length);
	if (segment_begin(&segmenter, packet, length, &vnet, &inner) != DROP_NONE)
		goto out;
	headers = segmenter.header_bytes;
	for (uint32_t i = segmenter.count, bytes; i > 0; i--) {
		const uint8_t *segment = segment_next(&segmenter, &bytes);

		fuzz_check(segment >= packet && segment + bytes <= packet + length);
		fuzz_check(bytes >= headers);
		total += bytes - headers;
		join(&joiner, segment, bytes);
	}
	fuzz_check(total + headers <= length);
	finish(&joiner);
out:
	free(packet);
	return 0;
}
