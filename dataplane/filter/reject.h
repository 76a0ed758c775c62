/*
 * reject.h - the answer to a packet that the firewall has refused (PROTOCOL.md 5.6).
 */
#ifndef M57_REJECT_H
#define M57_REJECT_H

#include <stdint.h>

#include "limits.h"
#include "lookup/inner.h"

/*
 * Builds the answer to packet, which inner_parse() took and which reads inner->ip_length bytes, as
 * a complete IP packet with right checksums: a RST to TCP, "administratively prohibited" by ICMP or
 * ICMPv6 to anything else. Pure; out does not overlap packet. A super-packet is answered as the one
 * packet that its headers describe. Returns the bytes of out, or 0 where no answer is allowed: to a
 * fragment that is not the first, a RST, an ICMP error or redirect, a header chain without an end,
 * a broken TCP header, and to or from what is no single host's address.
 */
uint32_t reject_build(const uint8_t *packet, const struct inner *inner,
		      uint8_t out[REJECT_BYTES_MAX]);

#endif
