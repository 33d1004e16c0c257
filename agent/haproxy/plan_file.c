/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

/*
 * What a file that differs is for, told by the lines that name it.
 */

const struct plan_file *plan_find_file(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->input->n_files; i++)
		if (streq(planner->input->files[i].name, name))
			return &planner->input->files[i];
	return NULL;
}

static int add_listed(const struct planner *planner, enum plan_side side, struct plan_named *named)
{
	struct cfg_files *files = &named->files;
	size_t n = files->n_files; /* what is added are certificates */
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct plan_file *file;
		const char *content;

		if (files->files[i].kind != CFG_FILE_CERTIFICATE_LIST)
			continue;
		file = plan_find_file(planner, files->files[i].name);
		content = !file ? NULL : side == PLAN_SIDE_RUNNING ? file->before : file->after;
		named->partial |= !content;
		r = content ? cfg_files_add_listed(files, content) : 0;
	}
	return r;
}

static int find_named(const struct planner *planner, enum plan_side side, struct plan_named *named)
{
	int r = cfg_files_find(
		side == PLAN_SIDE_RUNNING ? &planner->old : &planner->new, &named->files);

	if (r == 0)
		r = add_listed(planner, side, named);
	named->index = json_object();
	for (size_t i = 0; r == 0 && i < named->files.n_files; i++)
		if (json_object_set_new_nocheck(named->index, named->files.files[i].name,
			    json_integer((json_int_t)i)) < 0)
			r = -ENOMEM;
	return r;
}

const struct cfg_file *plan_named(
	const struct planner *planner, enum plan_side side, const char *name)
{
	const struct plan_named *named = &planner->named[side];
	const json_t *index = json_object_get(named->index, name);

	return index ? &named->files.files[json_integer_value(index)] : NULL;
}

static void plan_file(struct planner *planner, const struct plan_file *file)
{
	const struct cfg_file *before = plan_named(planner, PLAN_SIDE_RUNNING, file->name);
	const struct cfg_file *after = plan_named(planner, PLAN_SIDE_WANTED, file->name);

	/* Nothing reads it any more, or yet; what comes to a crt-list or leaves one is seen there.
	 */
	if ((!before && !planner->named[PLAN_SIDE_RUNNING].partial) ||
		(!after && !planner->named[PLAN_SIDE_WANTED].partial))
		return;
	if (!before || !after || before->kind != after->kind || before->mixed || after->mixed ||
		!file->after) {
		planner_obstacle(planner, "%s changed", file->name);
		return;
	}
	switch (after->kind) {
	case CFG_FILE_PATTERNS:
		plan_pattern_file(planner, file, false);
		break;
	case CFG_FILE_MAP:
		plan_pattern_file(planner, file, true);
		break;
	case CFG_FILE_CERTIFICATE_LIST:
		plan_crt_list(planner, file);
		break;
	case CFG_FILE_CERTIFICATE:
		plan_certificate(planner, file);
		break;
	case CFG_FILE_CA:
		plan_ca_file(planner, file, false);
		break;
	case CFG_FILE_CRL:
		plan_ca_file(planner, file, true);
		break;
	}
}

void plan_files(struct planner *planner)
{
	const struct plan_input *input = planner->input;

	if (input->n_files == 0)
		return;
	for (size_t i = 0; i < PLAN_N_SIDES; i++)
		if (find_named(planner, (enum plan_side)i, &planner->named[i]) < 0) {
			planner->failed = true;
			return;
		}
	for (size_t i = 0; i < input->n_files; i++)
		if (!streq_null(input->files[i].before, input->files[i].after))
			plan_file(planner, &input->files[i]);
}
