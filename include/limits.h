/*
 * limits.h - the bounds of m57, each with its unit and its reason.
 *
 * What a peer, a packet, a file or a user can send is bounded by one of these; what bounds a value
 * of one file alone (a range of a configuration key, an array on a stack) stands in that file. A
 * bound that is hit has a drop reason (drops.def), a counter (stats.def) or an error line; nothing
 * else is lost.
 */
#ifndef M57_LIMITS_H
#define M57_LIMITS_H

#include_next <limits.h> /* -Iinclude puts this file before the C library's, which others rely on */

/* --- node ------------------------------------------------------------------------------------ */
#define QUEUES_MAX                                                                                 \
	64 /* workers; one tun queue, UDP socket and ring each. IFF_MULTI_QUEUE allows 256 */
/*
 * CPUs that are looked at, by number; the largest machines that Debian's kernels are run on have
 * fewer. The kernel refuses to tell into a set smaller than its own.
 */
#define CPUS_MAX         4096
#define NUMA_NODES_MAX   1024 /* the kernel's own bound: NODES_SHIFT is at most 10 */
#define PIN_CPUS_DEFAULT 4    /* with fewer CPUs usable, workers are pinned only on request */
#define TUN_MTU_MIN      500  /* bytes; as Nebula's tun.routes check */
#define TUN_MTU_MAX                                                                                \
	8937 /* bytes; a stock peer reads datagrams into 9001 bytes, 64 go to a relayed frame */

#define ERROR_LINE_MAX 512 /* bytes of one start-up error: what, where, cure */
#define TUN_BUSY_RETRY_MS                                                                          \
	3000 /* a killed predecessor's ring holds the tun name for about 100 ms                    \
	      */
#define UDP_BUSY_RETRY_MS       1000 /* and its UDP port */
#define CONTROL_TURN_MAX        256 /* completions that control takes before it looks at its timers */
#define CONTROL_TURN_HANDSHAKES 16 /* and handshake packets: about 3 ms */
/*
 * Bytes of a socket's receive buffer with listen.read_buffer 0. A train of 60 kB counts whole, so
 * the system's 208 KiB lose a burst of four: one TCP flow had 5.6 Gbit/s there and 10 with
 * 4 MiB, where four flows still lost trains while their windows opened.
 */
#define UDP_READ_BUFFER_DEFAULT (8u << 20)
/*
 * The same with listen.write_buffer 0. What waits for a next hop's MAC address counts as sent and
 * not gone, up to 208 KiB in each neighbour's queue. With the system's 208 KiB one dead neighbour
 * thus filled the socket, and handshakes over another path waited until the kernel gave it up:
 * 3.5 s in 5 of 22 runs; with 1 MiB 12 of 12 took 1.5.
 */
#define UDP_WRITE_BUFFER_DEFAULT (1u << 20)
#define CLOSE_WAIT_MS            1000 /* at exit: for the CloseTunnel messages to leave */
#define START_LOOK_MS            20 /* at the start: between looks for a worker that cannot begin */
/* A kernel short of memory takes requests again within moments; one that does not in a second has
 * something else. */
#define RING_REFUSED_MAX_MS 1000

/* --- certificates (PROTOCOL.md 3) ------------------------------------------------------------- */
#define CERT_BYTES_MAX    65536 /* one certificate, encoded */
#define CERT_NAME_MAX     253   /* bytes of a name we sign; decoding takes up to CERT_BYTES_MAX */
#define CERT_NETWORKS_MAX 256   /* networks, and unsafe networks, of one certificate */
#define CERT_GROUPS_MAX   1024  /* groups of one certificate */
#define PEM_BLOCK_MAX     65536 /* bytes of one PEM block, decoded */
#define PEM_FILE_MAX                                                                               \
	(4u << 20)       /* bytes of a file of certificates or keys; a full CA bundle has 1 MiB */
#define CA_POOL_MAX 1024 /* CA certificates of one bundle */
/*
 * Certificates whose signature is not checked again (50 us each): as many as come back at once when
 * a large gateway has restarted. 32 bytes each; a power of two.
 */
#define VERIFIED_MAX      8192
#define PEER_ADDRS_MAX    16 /* overlay addresses of one host that tables hold */
#define PEER_PREFIXES_MAX 64 /* unsafe networks of one host that the firewall compares */

/* --- tunnels (PROTOCOL.md 2) -------------------------------------------------------------------
 */
#define TUNNELS_MAX          131072 /* live and pending; slot arrays are reserved, not touched */
#define TUNNELS_PER_HOST_MAX 5      /* as Nebula since 1.7; a sixth removes the oldest */
/*
 * Responder tunnels without an authenticated packet yet (2.11). At the rate of a whole CPU each has
 * 0.2 s for the round trip that confirms it.
 */
#define UNCONFIRMED_MAX          1024
#define UNCONFIRMED_PER_HOST_MAX 16 /* so that one copied certificate cannot use them up */
/*
 * Stage 1 with a lawful certificate that are told in the log. Anybody who has seen the certificate
 * can make them; a gateway whose peers all come back at once tells each.
 */
#define HANDSHAKE_LOG_PER_SECOND 20
#define HANDSHAKE_LOG_BURST      5000
/*
 * Roaming and closing that are told in the log: whoever changes the port of each datagram, the peer
 * or a box on the way, makes the first by the thousand.
 */
#define TUNNEL_LOG_PER_SECOND  20
#define TUNNEL_LOG_BURST       1000
#define REFUSED_LOG_PER_SECOND 1 /* lines about datagrams of control that the kernel refused */
#define REFUSED_LOG_BURST      10
/*
 * Stage 1 worked on. What bounds the cost is control's share of time (control/handshake_queue.h);
 * this is above what one CPU can do, and bounds what a simulated or a very fast node keeps.
 */
#define RESPONDER_PER_SECOND 10000
#define RESPONDER_BURST      2000
#define INITIATOR_PER_SECOND                                                                       \
	500 /* stage 2 worked on: an index is seen on the wire, and can be forged */
#define INITIATOR_BURST     128
#define NODE_LOG_PER_SECOND 20 /* lines about what strangers send; burst of the same size */
/*
 * Refused peers that are known to have been told in the log; power of two. A gateway that trusts
 * none of its thousand peers tells of each once in the quiet time, within the rate above, and one
 * peer that tries ten times in 6 s takes no line from another.
 */
#define REFUSED_TOLD            1024
#define REFUSED_QUIET_NS        60000000000ull
#define PENDING_MAX             1024 /* handshakes we began and wait for */
#define PENDING_PACKETS_MAX     100  /* segments held per pending handshake, as Nebula (2.6) */
#define PENDING_BYTES_MAX       (256u << 10) /* bytes held per pending handshake */
#define PENDING_TOTAL_BYTES_MAX (8u << 20)   /* bytes held for all pending handshakes together */
#define NODE_FAILURES_MAX       64           /* hosts whose last failed handshake is remembered */
#define NODE_FAILURE_TEXT_MAX   160          /* bytes of the reason; a longer one is cut */
#define HANDSHAKE_BYTES_MIN     80           /* header and two keys; a payload follows */
#define HANDSHAKE_BYTES_MAX     9001 /* a stock peer's buffer: larger stage 1 or 2 cannot be sent */
#define STATIC_REMOTES_MAX      32   /* underlay addresses of one static_host_map entry */
#define STATIC_NAMES_MAX        16   /* host names of one static_host_map entry */
#define NAMES_MAX               4096 /* host names of a configuration */
#define NAME_ADDRS_MAX          16   /* addresses of one host name; a server may answer thousands */
#define LOOKUPS_MAX             16   /* host names that are looked up at the same time */
#define HOSTNAME_MAX            253  /* bytes of a host name, as DNS can carry it */

/* --- lighthouse (PROTOCOL.md 6) ----------------------------------------------------------------
 */
#define LIGHTHOUSES_MAX 32 /* lighthouse.hosts; each gets every query and update */
#define LIGHTHOUSE_ENTRIES_MAX                                                                     \
	16 /* addresses of a family, and relays, of one message; a reply has 11 */
#define LIGHTHOUSE_BYTES_MAX 1200 /* one message with all of these, encoded */
#define REPORTED_MAX         10 /* addresses of a family, and relays, kept per owner, as Nebula (6.7) */
#define REMOTES_MAX          64  /* addresses of one host that a handshake is sent to */
#define REMOTES_BLOCKED_MAX  8   /* addresses of one host at which another host answered */
#define POKES_MAX            32  /* lighthouse replies that may send one pending handshake again */
#define LOCAL_ADDRS_MAX      256 /* addresses of this machine that are looked at for an update */
#define ADVERTISE_ADDRS_MAX  LIGHTHOUSE_ENTRIES_MAX
#define ALLOW_RULES_MAX      1024 /* of one allow list */
#define ALLOW_RANGES_MAX     1024 /* lighthouse.remote_allow_ranges */
#define CALCULATED_MAX       256 /* lighthouse.calculated_remotes, masks of all prefixes together */
#define PREFERRED_RANGES_MAX 256
#define PUNCHES_MAX          512 /* hole punches, and tests, ordered and not yet due */
#define PUNCH_CALLER_ADDRS_MAX                                                                     \
	8 /* of a host that calls us, kept until punchy.respond_delay is over */
#define PUNCHES_PER_SECOND 200 /* a lighthouse, or who reports to it, must not aim us at others */
#define PUNCH_ORDERS_PER_SECOND                                                                    \
	200 /* that a lighthouse sends to one host; burst for a host that came back */
#define PUNCH_ORDERS_BURST 1000
#define ANSWERS_MAX        2048 /* of a worker, and orders to punch: wait for room to send them */
#define DNS_NAMES_MAX                                                                              \
	65536 /* names of hosts that a lighthouse's DNS remembers; half of TUNNELS_MAX */
#define DNS_QUERIES_PER_SECOND 5000 /* of all askers; about 5 us each: 2 % of control's time */
#define DNS_QUERIES_BURST      1000
#define DNS_TURN_MAX           64 /* answered before control looks after the node again */
#define TEST_ANSWERS_PER_SECOND                                                                    \
	50 /* to test requests on one tunnel; burst of the same size: a peer asks a few */
/*
 * Lighthouse and relay messages that control works on, of one tunnel: most are answered, and the
 * answers of all wait in one line for their worker (ORDERS_QUEUED_MAX). A lighthouse may say so
 * much at once to a host that begins PENDING_MAX handshakes: a reply and an order to punch for
 * each.
 */
#define MESSAGES_PEER       1000
#define MESSAGES_PEER_BURST (2 * PENDING_MAX)
#define MOVE_TESTS_MAX      1024 /* tunnels that are tested when our addresses change */

/* --- relays (PROTOCOL.md 7) --------------------------------------------------------------------
 */
#define RELAYS_MAX                16384 /* entries in all, of every tunnel */
#define RELAYS_PER_TUNNEL_MAX     256 /* other ends that one peer reaches through us, or we by it */
#define RELAY_IDLE_NS             60000000000ull /* not needed for so long: may go for another */
#define RELAY_HOSTS_MAX           16  /* relays of one host that a handshake goes through */
#define RELAY_BYTES_MAX           64  /* one NebulaControl message, encoded */
#define RELAY_REQUESTS_PER_SECOND 200 /* of all peers: each may cost a message to another host */
#define RELAY_REQUESTS_BURST      1000
#define RELAY_REQUESTS_PEER       50 /* of these, of one tunnel: nobody takes the relay from all */
#define RELAY_REQUESTS_PEER_BURST RELAYS_PER_TUNNEL_MAX
#define RELAY_PENDING_MAX                                                                          \
	(PENDING_MAX / 4) /* handshakes under way; from there on none is begun for other hosts */

/* --- transport (PROTOCOL.md 1, 4) --------------------------------------------------------------
 */
#define REPLAY_WINDOW          8192 /* packets; Nebula's main branch; older peers have 1024 */
#define COUNTER_FIRST          3ull /* the handshake used 1 and 2 */
#define COUNTER_REHANDSHAKE_AT (1ull << 34)
#define COUNTER_REFUSE_AT      (UINT64_MAX - (1ull << 40)) /* no nonce at or above this is ever used */
#define DATAGRAM_MAX           9001 /* bytes; what a stock peer can receive */
#define FLOW_LABELS_MAX        255  /* values of a flow label that a sender may use */
/*
 * Packets of a tunnel by which a worker's next run may be ahead of one that another worker has
 * sealed and not sent (dataplane/skew.h): half of the window of deployed peers. The other half is
 * for the run itself and for what the network changes in the order. All workers together also seal
 * no more than that in their batches.
 */
#define SKEW_PACKETS_MAX 512
#define SKEW_WIDE_MAX    4096 /* where the peer is m57: half of REPLAY_WINDOW */
#define SKEW_MARKS_MAX                                                                             \
	256 /* tunnels that a worker seals for in a turn; others are not seen                      \
	     */
#define MIXED_TRAINS_MAX                                                                           \
	8 /* authentic trains of several owners before the kernel is no longer asked to spread */
/*
 * A sparse flow (control/system/sparse.h): what a voice call, a shell, a game or a query sends, 13
 * Mbit/s at most; the acknowledgements of a transfer are more. A transfer's first super-packet, ten
 * segments in general, is large. Twice the window of silence ends a burst. 100 us is what a woken
 * worker takes to send what it got, and less than an answer takes; at SPARSE_BEYOND times the share
 * a flow that gives no such moment changes all the same, and stays for longer than from one key
 * frame of a video to the next.
 */
#define SPARSE_FLOWS      1024 /* places that flows are counted in; power of two */
#define SPARSE_PACKETS    32
#define SPARSE_BYTES      (16 << 10)
#define SPARSE_LARGE      4096 /* bytes of a packet that no sparse flow sends */
#define SPARSE_WINDOW_NS  10000000
#define SPARSE_SILENCE_NS 15000000
#define SPARSE_SETTLE_NS  100000
#define SPARSE_BEYOND     4
#define SPARSE_FORCED_NS  10000000000
#define RECV_ERROR_HEARD_PER_SECOND                                                                \
	1000 /* recv_errors that one worker hands to control; more are forged, or say it again */
/*
 * Answers of one worker to unknown indexes; burst of the same size: 16 bytes each, so at most
 * 9 kB/s with headers can be turned on anybody. Nebula 1.6.1 and 1.7 act on the fourth recv_error
 * for a tunnel, and a quiet one sends a packet in 5 or 10 s: an index that was not answered lately
 * gets four at once, while more than half of the answers are left. Those that need one only still
 * get as many as a restarted lighthouse of a large network has peers that call in a second.
 */
#define RECV_ERROR_PER_SECOND   200
#define RECV_ERROR_REPEATS      4
#define RECV_ERROR_REPEAT_ABOVE (RECV_ERROR_PER_SECOND / 2)
#define RECV_ERROR_TOLD         256 /* indexes that a worker knows to have answered; power of two */

/* --- inner packets (PROTOCOL.md 5.2) -----------------------------------------------------------
 */
#define EXTENSION_HEADERS_MAX 8   /* IPv6; more are reported as the protocol */
#define INNER_HEADER_MAX      120 /* bytes of L3 + L4 header that segment and join rebuild */

/* --- the dataplane's memory, per queue ---------------------------------------------------------
 */
#define SLOT_BYTES  (64u * 1024 + 512) /* one receive buffer: 64 KiB, virtio or recvmsg headers */
#define TUN_SLOTS   128 /* power of two; how many are in the ring: dataplane/io/buffers.h */
#define UDP_SLOTS   128 /* power of two; 64 gave 14,650 re-arms in 4 s of small packets */
#define SEND_SLOTS  32  /* super-packets on their way to the UDP socket */
#define WRITE_SLOTS 32  /* super-packets on their way to the tun */
#define HANDOVERS_MAX                                                                              \
	64 /* trains of each worker on their way to others: 4 MiB; a bit each in handovers.free */
#define GSO_SEGMENTS_MAX 64    /* of one UDP_SEGMENT send, on every kernel with GSO */
#define GSO_BYTES_MAX    65507 /* UDP payload of one send over IPv4 */
/*
 * A path that refused segments of a size is tried with them again: the kernel forgets the MTU of a
 * path after ten minutes, and links change. On one that stays narrow a try costs a refused send.
 */
#define GSO_RETRY_S 60
#define TUN_GSO_BYTES_MAX                                                                          \
	61000 /* link limit, so that one tun read plus tunnel headers fits one send */
#define RUN_SEGMENTS_MAX                                                                           \
	1024 /* of one tun read: all must fit the send slots at once; Linux makes 64 */
/*
 * Under a flood of small packets a worker lets this many gather before its next turn, and no longer
 * than that (loop.c). 64 fill a train; 150 us are what a ping through two idle nodes takes.
 */
#define GATHER_RUNS 64
#define GATHER_NS   150000u
/* m57.busy_poll: beyond a second the worker never sleeps on any node that sees a packet. */
#define BUSY_POLL_US_MAX  1000000
#define JOIN_BYTES_MAX    65535 /* IP total length of one joined packet */
#define JOIN_SEGMENTS_MAX 64
/*
 * Single-shot reads kept armed on kernels before 6.7. With several, each packet wakes them all, and
 * those that found nothing 128 times go to a kernel thread: packets out of order, 3.9 instead
 * of 6.8 Gbit/s.
 */
#define TUN_READS_IN_FLIGHT 1

/* --- messages between the planes ---------------------------------------------------------------
 */
#define PUNT_BYTES      9216 /* one punted packet: DATAGRAM_MAX and room */
#define POOL_HANDSHAKES 64   /* of each worker: PUNT_HANDSHAKE */
/*
 * Networks that send handshakes are told apart by so many buckets: two share one with 1/256, for a
 * period. A bucket holds at most SOURCE_SHARE times what is left of its worker's POOL_HANDSHAKES:
 * one alone 48 of 64, enough for a site whose hosts all come back at once; 21 that flood leave one.
 */
#define SOURCE_BUCKETS  256
#define SOURCE_SHARE    3
#define SOURCE_PERIOD_S 16
/* Of each worker: PUNT_OPENED. Peers share it as networks share POOL_HANDSHAKES, by their overlay
 * address: one that floods takes no test reply, report or relay request from another. */
#define POOL_OPENED      64
#define POOL_RECV_ERRORS 32 /* of each worker: PUNT_RECV_ERROR, which anybody can send */
#define POOL_WAITING_SMALL                                                                         \
	256 /* of each worker: runs up to WAITING_SMALL_BYTES that wait for a tunnel */
#define POOL_WAITING_LARGE  16 /* of each worker: larger ones, up to 64 KiB each */
#define WAITING_SMALL_BYTES 2048
#define POOL_EVENTS         256 /* of each worker: small events */
#define ORDERS_MAX          128 /* messages from control under way to one worker */
#define ORDERS_QUEUED_MAX                                                                          \
	65536              /* kept back for one worker: at exit each tunnel gets a CloseTunnel */
#define ORDERS_RETRY_MS 10 /* between tries, either way, where the kernel had no memory */

/* --- firewall (PROTOCOL.md 5) ------------------------------------------------------------------
 */
#define RULES_MAX         1024 /* per direction; the peer bit sets of a tunnel grow with it */
#define CONNTRACK_WAYS    8
#define CONNTRACK_BUCKETS (1u << 14) /* times 8 ways = 131,072 flows, 7 MiB when all are used */
#define REJECTS_PER_SECOND                                                                         \
	100 /* answers of one worker to refused packets of one direction; burst of the same size   \
	     */
#define REJECT_BYTES_MAX                                                                           \
	1048 /* of such an answer: ICMPv6 error with 1000 bytes of the packet (PROTOCOL.md 5.6) */
/*
 * Routes of each kind: tun.routes, tun.unsafe_routes, and what is learned from the kernel. A host
 * that takes the routes of a large network by BGP has a few thousand. All of them make a table of
 * 1.5 MB, in 3 ms at each change of the kernel's, and a lookup takes 30 ns instead of 7.
 */
#define ROUTES_MAX               16384
#define SYSTEM_ROUTES_BUFFER_MAX (64 << 20) /* bytes; an overrun costs a dump, nothing is lost */
#define ROUTES_PUBLISH_NS        100000000u /* between workers' tables made of learned routes */
#define GATEWAYS_MAX             16         /* of one route; routers spread over no more */

/* --- m57ctl ------------------------------------------------------------------------------------
 */
#define ADMIN_CLIENTS_MAX 32   /* connections; one more takes the place of the one idle longest */
#define ADMIN_REQUEST_MAX 4096 /* bytes of a request line; the longest of ours has under 400 */
#define ADMIN_ANSWER_MAX  (4u << 20) /* bytes of an answer, so of what a client has not read yet */
#define ADMIN_ROWS_MAX    500 /* hosts in one answer; the rest is asked for behind the last */
#define ADMIN_ROWS_BYTES  (1u << 20) /* and of JSON: certificates may be long */
#define ADMIN_CLIENT_MS   10000      /* for a request to come complete, for an answer to be taken */
#define ADMIN_TURN_MAX    8 /* requests answered before control looks after the node again */
/*
 * Of "why": a refused send says something of now for so long. Whoever asks has just seen it fail,
 * and a tunnel in use that hears nothing sends a test within timers.connection_alive_interval (5
 * s); routes and firewalls of the host may have changed since an older one.
 */
#define REFUSED_SEND_RECENT_NS 10000000000ull
/* A datagram sealed less than this behind the last refusal is not known to have been taken: its own
 * refusal may be on its way. A turn of a worker is over much sooner, the next ping comes later. */
#define REFUSED_SEND_SETTLE_NS 100000000u

/* --- configuration (PROTOCOL.md 9) --------------------------------------------------------------
 */
#define CONFIG_FILE_MAX                                                                            \
	(8u << 20)              /* bytes of one file; an inline CA bundle is its largest part      \
				 */
#define CONFIG_FILES_MAX   1024 /* files of a configuration directory */
#define CONFIG_FOLDERS_MAX 16   /* depth of folders in a configuration directory */
#define CONFIG_DEPTH_MAX   32   /* lists and maps inside each other; Nebula's keys need 5 */
#define CONFIG_NODES_MAX                                                                           \
	200000            /* values of all files, aliases counted as often as they are used        \
			   */
#define FINDINGS_MAX 200  /* errors and warnings kept of one check; the rest is counted */
#define LOG_LINE_MAX 4096 /* bytes of one log line; longer ones are cut */
/* Flows that a worker has refused, kept for m57ctl list-refused, and addresses that the kernel
 * refused it to send to, for m57ctl why: a page of text, looked through at each refused packet. */
#define REFUSALS_MAX 16
/* How long control waits for a pipe that nobody empties; once, then lines are lost and counted. */
#define LOG_STALL_MS   100
#define LOG_FIELDS_MAX 24 /* key=value fields of one log line */

#endif
