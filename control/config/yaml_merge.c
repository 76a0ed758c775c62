/*
 * yaml_merge.c - several files to one tree (PROTOCOL.md 9.1).
 */
#include "config/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium.h>

/* --- two trees -------------------------------------------------------------------------------- */

static const char *kind_name(const struct yaml_node *node)
{
	return node->kind == NODE_MAP ? "a map" : node->kind == NODE_LIST ? "a list" : "a value";
}

static struct yaml_node *copy_header(const struct yaml_node *node, uint32_t room,
				     struct arena *arena)
{
	struct yaml_node *copy = arena_alloc(arena, sizeof(*copy));

	*copy = *node;
	copy->items = arena_alloc(arena, room * sizeof(struct yaml_node *));
	if (node->count > 0)
		memcpy(copy->items, node->items, node->count * sizeof(struct yaml_node *));
	if (node->kind == NODE_MAP) {
		copy->keys = arena_alloc(arena, room * sizeof(struct yaml_node *));
		if (node->count > 0)
			memcpy(copy->keys, node->keys, node->count * sizeof(struct yaml_node *));
	}
	return copy;
}

static const struct yaml_node *merge_lists(const struct yaml_node *later,
					   const struct yaml_node *earlier, struct arena *arena)
{
	struct yaml_node *list = copy_header(later, later->count + earlier->count, arena);

	if (earlier->count > 0)
		memcpy(list->items + list->count, earlier->items,
		       earlier->count * sizeof(struct yaml_node *));
	list->count += earlier->count;
	list->weight += earlier->weight;
	return list;
}

static const struct yaml_node *merge_maps(const struct yaml_node *later,
					  const struct yaml_node *earlier, struct arena *arena,
					  struct findings *findings)
{
	struct yaml_node *map = copy_header(later, later->count + earlier->count, arena);

	map->weight += earlier->weight;
	for (uint32_t i = 0; i < earlier->count; i++) {
		uint32_t slot = 0;

		while (slot < later->count &&
		       strcmp(later->keys[slot]->text, earlier->keys[i]->text) != 0)
			slot++;
		if (slot == later->count) {
			map->keys[map->count] = earlier->keys[i];
			map->items[map->count++] = earlier->items[i];
			continue;
		}
		map->items[slot] = (struct yaml_node *)yaml_merge(
			later->items[slot], earlier->items[i], arena, findings);
		if (map->items[slot] == NULL)
			return NULL;
	}
	return map;
}

const struct yaml_node *yaml_merge(const struct yaml_node *later, const struct yaml_node *earlier,
				   struct arena *arena, struct findings *findings)
{
	if (later->kind == NODE_MAP && earlier->kind == NODE_MAP)
		return merge_maps(later, earlier, arena, findings);
	if (later->kind == NODE_LIST && earlier->kind == NODE_LIST)
		return merge_lists(later, earlier, arena);
	if (yaml_is_empty(later))
		return yaml_is_empty(earlier) ? later : earlier;
	if (later->kind != earlier->kind && !yaml_is_empty(earlier)) {
		finding_error(findings, later->where,
			      "this is %s, but %s at %s line %u; they cannot be merged: make both "
			      "the same kind",
			      kind_name(later), kind_name(earlier), earlier->where.file,
			      earlier->where.line);
		return NULL;
	}
	return later;
}

/* --- files ------------------------------------------------------------------------------------ */

/* The whole file in secure memory (it may hold a key); NULL with an error. Free by sodium_free. */
static char *read_file(const char *path, size_t *len, struct findings *findings)
{
	struct where where = {path, 0};
	struct stat status;
	char *text = NULL;
	size_t used = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0) {
		finding_error(findings, where,
			      "cannot read the configuration: %s; check the path and its "
			      "permissions",
			      strerror(errno));
		goto out;
	}
	if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) {
		finding_error(findings, where, "neither a file nor a directory; give -config one");
		goto out;
	}
	/* pipes tell no size: room for the largest; what is not written costs nothing */
	text = sodium_malloc(S_ISREG(status.st_mode) && status.st_size < CONFIG_FILE_MAX
				     ? (size_t)status.st_size + 1
				     : CONFIG_FILE_MAX + 1);
	if (text == NULL) {
		finding_error(findings, where, "out of memory");
		goto out;
	}
	*len = S_ISREG(status.st_mode) && status.st_size < CONFIG_FILE_MAX
		       ? (size_t)status.st_size + 1
		       : CONFIG_FILE_MAX + 1;
	while (used < *len && (n = read(fd, text + used, *len - used)) > 0)
		used += (size_t)n;
	if (n < 0 || used > CONFIG_FILE_MAX || (used == *len && used > 0)) {
		finding_error(findings, where,
			      n < 0 ? "cannot read the configuration: %s"
			      : used > CONFIG_FILE_MAX
				      ? "larger than 8 MiB; is this the right file?"
				      : "changed while it was read; try again",
			      strerror(errno));
		sodium_free(text);
		text = NULL;
	}
	*len = used;
out:
	if (fd >= 0)
		close(fd);
	return text;
}

#define FOLDER_TRIES 4

struct file_list {
	uint32_t count;
	bool gone; /* a file was there, and was gone when it was to be read */
	char *paths[CONFIG_FILES_MAX];
};

static bool is_yaml_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* Emacs locks the file that it edits with a link to nothing beside it, ".#NAME". */
static bool is_lock_name(const char *path)
{
	return strncmp(strrchr(path, '/') + 1, ".#", 2) == 0;
}

/*
 * A link to nothing, as a rule. Under the name of a configuration it is one that is missing, and
 * the rest must not run without it; anything else is none of ours, and Nebula passes it over.
 */
static int collect_unreadable(const char *path, int err, struct findings *findings)
{
	if (is_yaml_name(path) && !is_lock_name(path)) {
		finding_error(findings, (struct where){path, 0},
			      "cannot read: %s; remove it or repair it", strerror(err));
		return -EINVAL;
	}
	finding_warning(findings, (struct where){path, 0}, "passed over: %s", strerror(err));
	return 0;
}

static bool is_gone(const char *path)
{
	struct stat status;

	return lstat(path, &status) != 0 && errno == ENOENT;
}

static int collect(const char *folder, unsigned depth, struct file_list *list,
		   struct findings *findings);

/* One entry of a folder: a file to take, a folder to go into, or nothing of ours. */
static int collect_entry(const char *path, unsigned depth, struct file_list *list,
			 struct findings *findings)
{
	struct stat status;

	if (stat(path, &status) != 0) {
		int err = errno;

		list->gone = is_gone(path);
		if (list->gone && !is_yaml_name(path))
			return 0;
		return collect_unreadable(path, err, findings);
	}
	if (S_ISDIR(status.st_mode))
		return collect(path, depth + 1, list, findings);
	if (!is_yaml_name(path))
		return 0;
	if (!S_ISREG(status.st_mode)) {
		finding_error(findings, (struct where){path, 0},
			      "not a file; a directory of configuration holds files and folders");
		return -EINVAL;
	}
	if (list->count == CONFIG_FILES_MAX) {
		finding_error(findings, (struct where){path, 0},
			      "more than %d configuration files; is this the right directory?",
			      CONFIG_FILES_MAX);
		return -EINVAL;
	}
	list->paths[list->count] = strdup(path);
	if (list->paths[list->count] == NULL)
		return -ENOMEM;
	list->count++;
	return 0;
}

static int collect(const char *folder, unsigned depth, struct file_list *list,
		   struct findings *findings)
{
	struct dirent *entry;
	DIR *dir;
	int err = 0;

	if (depth > CONFIG_FOLDERS_MAX) {
		finding_error(findings, (struct where){folder, 0},
			      "more than %d folders deep; is there a link to a folder above?",
			      CONFIG_FOLDERS_MAX);
		return -EINVAL;
	}
	dir = opendir(folder);
	if (dir == NULL) {
		finding_error(findings, (struct where){folder, 0},
			      "cannot read the directory: %s; check its permissions",
			      strerror(errno));
		return -EINVAL;
	}
	while (err == 0 && (entry = readdir(dir)) != NULL) {
		char *path;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
			err = -ENOMEM;
			break;
		}
		err = collect_entry(path, depth, list, findings);
		free(path);
	}
	closedir(dir);
	return err;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct load {
	const char *path;
	struct arena *arena;
	struct findings *findings;
	const struct yaml_node *tree; /* of the files before */
};

static void load_and_merge(void *context)
{
	struct load *load = context;
	const char *path = arena_text(load->arena, load->path, strlen(load->path));
	const struct yaml_node *earlier = load->tree;
	size_t len;
	char *text = read_file(path, &len, load->findings);

	load->tree = NULL;
	if (text == NULL)
		return;
	load->tree = yaml_parse(path, text, len, load->arena, load->findings);
	sodium_free(text);
	if (load->tree != NULL && earlier != NULL)
		load->tree = yaml_merge(load->tree, earlier, load->arena, load->findings);
}

/* The file at path merged into earlier, unless that is NULL. NULL with an error. */
static const struct yaml_node *load_file(const char *path, const struct yaml_node *earlier,
					 struct arena *arena, struct findings *findings)
{
	struct load load = {path, arena, findings, earlier};

	if (arena_try(arena, load_and_merge, &load))
		return load.tree;
	finding_error(findings, (struct where){path, 0}, "out of memory");
	return NULL;
}

/* *gone: it failed, and the files were other ones meanwhile. */
static const struct yaml_node *load_folder_once(const char *path, struct arena *arena,
						struct findings *findings, bool *gone)
{
	struct file_list *list = calloc(1, sizeof(*list));
	char *absolute = realpath(path, NULL);
	const struct yaml_node *tree = NULL;
	int err = list == NULL ? -ENOMEM : 0;

	if (absolute == NULL) {
		finding_error(findings, (struct where){path, 0},
			      "cannot read the directory: %s; check its permissions",
			      strerror(errno));
		err = -EINVAL;
	}
	if (err == 0)
		err = collect(absolute, 0, list, findings);
	if (err == -ENOMEM)
		finding_error(findings, (struct where){path, 0}, "out of memory");
	if (err == 0 && list->count == 0)
		finding_error(findings, (struct where){path, 0},
			      "no .yaml or .yml file in this directory; put the configuration "
			      "there or name the file");
	if (list != NULL)
		qsort(list->paths, list->count, sizeof(char *), compare_paths);
	for (uint32_t i = 0; err == 0 && i < list->count; i++) {
		tree = load_file(list->paths[i], tree, arena, findings);
		list->gone |= tree == NULL && is_gone(list->paths[i]);
		if (tree == NULL)
			err = -EINVAL;
		else if (tree->weight > CONFIG_NODES_MAX) {
			finding_error(findings, tree->where, "more than %d values in all files",
				      CONFIG_NODES_MAX);
			err = -EINVAL;
		}
	}
	*gone = err != 0 && list != NULL && list->gone;
	for (uint32_t i = 0; list != NULL && i < list->count; i++)
		free(list->paths[i]);
	free(list);
	free(absolute);
	return err == 0 ? tree : NULL;
}

/*
 * Tools and editors put files beside others for a moment. What is gone when it is read was one of
 * these, or is being replaced, and the rest must not run without it: the folder says which.
 */
static const struct yaml_node *load_folder(const char *path, struct arena *arena,
					   struct findings *findings)
{
	const struct findings before = *findings;
	const struct yaml_node *tree;
	bool gone;

	for (unsigned tries = 1;; tries++) {
		tree = load_folder_once(path, arena, findings, &gone);
		if (tree != NULL || !gone || tries == FOLDER_TRIES)
			return tree;
		findings_take_back(findings, &before);
	}
}

const struct yaml_node *yaml_load(const char *path, struct arena *arena, struct findings *findings)
{
	struct stat status;

	if (sodium_init() < 0) {
		finding_error(findings, (struct where){path, 0}, "libsodium does not start");
		return NULL;
	}
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return load_folder(path, arena, findings);
	return load_file(path, NULL, arena, findings);
}
