/* config_relay.c - relay.*: hosts that are reached through others (PROTOCOL.md 7). */
#include "config/read.h"

#include "addr_text.h"

static void read_relays(struct config_reader *r, struct relay_options *options)
{
	static const char path[] = "relay.relays";
	const struct yaml_node *list = read_list(r, path, true);
	char quote[FINDING_QUOTE_MAX];

	if (list == NULL)
		return;
	if (list->count > RELAY_HOSTS_MAX) {
		finding_error(r->findings, list->where, "%s has %u entries, more than %d", path,
			      list->count, RELAY_HOSTS_MAX);
		return;
	}
	r->config->relays_where = list->where;
	options->relays = arena_alloc(r->arena, list->count * sizeof(*options->relays));
	for (uint32_t i = 0; i < list->count; i++) {
		const char *text = yaml_text(list->items[i], r->arena);

		if (text && addr_parse(text, &options->relays[options->relay_count]) == 0)
			options->relay_count++;
		else
			finding_warning(
				r->findings, list->items[i]->where,
				"%s: \"%s\" is no address and is not used; write the overlay "
				"address of the relay",
				path, text ? finding_quote(text, quote) : "(a list or map)");
	}
}

void read_relay(struct config_reader *r)
{
	struct relay_options *options = &r->config->relay;

	options->am_relay = read_bool(r, "relay.am_relay");
	options->use_relays = read_bool(r, "relay.use_relays") && !options->am_relay;
	read_relays(r, options);
	if (options->am_relay && options->relay_count > 0) {
		finding_warning(r->findings, read_where(r, "relay.relays"),
				"relay.relays has no effect on a relay; remove it, or am_relay");
		options->relay_count = 0;
	}
}
