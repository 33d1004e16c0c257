/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/client/table.h"
#include "api/client/tree.h"

static const struct terminal ascii = {.utf8 = false};
static const struct terminal utf8 = {.utf8 = true};
static const struct terminal coloured = {.utf8 = true, .colour = true};

static struct table *example(const struct table_column *columns, size_t n)
{
	struct table *table = NULL;

	assert_int_equal(table_new(columns, n, &table), 0);
	assert_int_equal(table_add_row(table), 0);
	assert_int_equal(table_set(table, 0, COLOUR_PLAIN, "first"), 0);
	assert_int_equal(table_set(table, 1, COLOUR_PLAIN, "7"), 0);
	assert_int_equal(table_set(table, 2, COLOUR_RED, "x\ny"), 0);
	assert_int_equal(table_add_row(table), 0);
	assert_int_equal(table_set(table, 0, COLOUR_PLAIN, "2"), 0);
	assert_int_equal(table_set(table, 1, COLOUR_PLAIN, "12345"), 0);
	return table;
}

static void aligns_columns(_unused_ void **state)
{
	static const struct table_column columns[] = {
		{"NAME", false}, {"N", true}, {"REST", false}};
	_cleanup_table_ struct table *table = example(columns, 3);
	_cleanup_text_ struct text out = TEXT_INIT;

	table_print(table, &ascii, &out);
	assert_string_equal(text_peek(&out), "NAME       N  REST\n"
					     "first      7  x?y\n"
					     "2      12345\n");
}

static void has_no_heading_without_titles(_unused_ void **state)
{
	static const struct table_column columns[] = {{NULL, false}, {NULL, false}, {NULL, false}};
	_cleanup_table_ struct table *table = example(columns, 3);
	_cleanup_text_ struct text out = TEXT_INIT;

	table_print(table, &ascii, &out);
	assert_string_equal(text_peek(&out), "first  7      x?y\n"
					     "2      12345\n");
}

static void colours_do_not_shift(_unused_ void **state)
{
	static const struct table_column columns[] = {{NULL, false}, {NULL, true}};
	_cleanup_table_ struct table *table = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(table_new(columns, 2, &table), 0);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(table_add_row(table), 0);
		assert_int_equal(table_set(table, 0, COLOUR_GREEN, i == 0 ? "ok" : "okay"), 0);
		assert_int_equal(table_set(table, 0, COLOUR_GREEN, i == 0 ? "OK" : "okay"), 0);
		assert_int_equal(table_set(table, 1, COLOUR_PLAIN, "1"), 0);
	}
	table_print(table, &coloured, &out);
	assert_non_null(text_after_prefix(
		text_peek(&out), "\033[32mOK\033[0m    1\n\033[32mokay\033[0m  1\n"));
}

static int add(
	struct tree *tree, unsigned depth, const char *name, const char *status, const char *detail)
{
	const struct tree_row row = {depth > 0 ? "kind" : "", name, status, detail};

	return tree_add(tree, depth, &row);
}

static struct tree *example_tree(void)
{
	struct tree *tree = NULL;

	assert_int_equal(tree_new(&tree), 0);
	assert_int_equal(add(tree, 0, "web", "ONLINE", "192.0.2.1"), 0);
	assert_int_equal(add(tree, 1, "a", "ONLINE", ""), 0);
	assert_int_equal(add(tree, 2, "b", "DEGRADED", "two"), 0);
	assert_int_equal(add(tree, 3, "c\033", "ERROR", "\033[2J"), 0);
	assert_int_equal(add(tree, 3, "d", "", "no status"), 0);
	assert_int_equal(add(tree, 1, "e", "OFFLINE", ""), 0);
	assert_int_equal(add(tree, 2, "f", "", ""), 0);
	return tree;
}

static void draws_branches(_unused_ void **state)
{
	_cleanup_tree_ struct tree *tree = example_tree();
	_cleanup_text_ struct text out = TEXT_INIT;

	tree_print(tree, &utf8, &out);
	assert_string_equal(text_peek(&out), "web               ● ONLINE    192.0.2.1\n"
					     "├─ kind a         ● ONLINE\n"
					     "│  └─ kind b      ● DEGRADED  two\n"
					     "│     ├─ kind c?  ● ERROR     ?[2J\n"
					     "│     └─ kind d               no status\n"
					     "└─ kind e         ● OFFLINE\n"
					     "   └─ kind f\n");
}

static void draws_ascii_branches(_unused_ void **state)
{
	_cleanup_tree_ struct tree *tree = example_tree();
	_cleanup_text_ struct text out = TEXT_INIT;

	tree_print(tree, &ascii, &out);
	assert_string_equal(text_peek(&out), "web               ONLINE    192.0.2.1\n"
					     "|- kind a         ONLINE\n"
					     "|  `- kind b      DEGRADED  two\n"
					     "|     |- kind c?  ERROR     ?[2J\n"
					     "|     `- kind d             no status\n"
					     "`- kind e         OFFLINE\n"
					     "   `- kind f\n");
}

static void refuses_orphans(_unused_ void **state)
{
	_cleanup_tree_ struct tree *tree = NULL;
	unsigned depth;

	assert_int_equal(tree_new(&tree), 0);
	assert_int_equal(add(tree, 1, "x", "", ""), -EINVAL);
	assert_int_equal(add(tree, 0, "x", "", ""), 0);
	assert_int_equal(add(tree, 2, "x", "", ""), -EINVAL);
	for (depth = 1; depth <= TREE_MAX_DEPTH; depth++)
		assert_int_equal(add(tree, depth, "x", "", ""), 0);
	assert_int_equal(add(tree, depth, "x", "", ""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligns_columns),
		cmocka_unit_test(has_no_heading_without_titles),
		cmocka_unit_test(colours_do_not_shift),
		cmocka_unit_test(draws_branches),
		cmocka_unit_test(draws_ascii_branches),
		cmocka_unit_test(refuses_orphans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
