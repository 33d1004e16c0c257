/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/stats.h"

#define HEADER "# pxname,svname,scur,stot,bin,bout,ereq,status,weight,type,check_status,last_chk,\n"

static void assert_same(const struct stats_table *a, const struct stats_table *b)
{
	assert_int_equal(a->n_rows, b->n_rows);
	for (size_t i = 0; i < a->n_rows; i++) {
		struct stats_row numbers[] = {a->rows[i], b->rows[i]};

		assert_string_equal(a->rows[i].proxy, b->rows[i].proxy);
		assert_string_equal(a->rows[i].name, b->rows[i].name);
		assert_string_equal(a->rows[i].status, b->rows[i].status);
		assert_string_equal(a->rows[i].check_status, b->rows[i].check_status);
		assert_string_equal(a->rows[i].last_check, b->rows[i].last_check);
		for (size_t k = 0; k < 2; k++)
			numbers[k].proxy = numbers[k].name = numbers[k].status = numbers[k].check_status =
				numbers[k].last_check = NULL;
		assert_memory_equal(&numbers[0], &numbers[1], sizeof(numbers[0]));
	}
}

static int parse_pieces(const char *csv, size_t length, size_t piece, struct stats_table *ret, struct error *err)
{
	_cleanup_(stats_reader_freep) struct stats_reader *reader = NULL;
	int r = 0;

	assert_int_equal(stats_reader_new(&reader), 0);
	for (size_t at = 0; r == 0 && at < length; at += piece) {
		size_t n = length - at < piece ? length - at : piece;
		/* Exactly as long as its content, so that a sanitizer sees one byte too many. */
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, csv + at, n);
		r = stats_reader_feed(reader, copy, n, err);
		free(copy);
	}
	return r < 0 ? r : stats_reader_finish(reader, ret, err);
}

/* As a whole and in pieces: the same table, or the same words. */
static int parse_bytes(const char *csv, size_t length, struct stats_table *ret, struct error *err)
{
	_cleanup_error_ struct error reason = ERROR_INIT;
	struct stats_table table = {0};
	int r = stats_parse(csv, length, &table, &reason);

	for (size_t piece = 1; piece <= length && piece <= 300; piece = piece < 80 ? piece + 1 : piece * 3) {
		_cleanup_error_ struct error again = ERROR_INIT;
		_cleanup_stats_ struct stats_table pieces = {0};

		assert_int_equal(parse_pieces(csv, length, piece, &pieces, &again), r);
		assert_same(&pieces, &table);
		if (r < 0)
			assert_string_equal(error_message(&again), error_message(&reason));
		if (length > 4000)
			piece *= 3;
	}
	if (r == 0)
		*ret = table;
	if (err) {
		*err = reason;
		reason = ERROR_INIT;
	}
	return r;
}

static int parse(const char *csv, struct stats_table *ret, struct error *err)
{
	return parse_bytes(csv, strlen(csv), ret, err);
}

/* A reply of HAProxy 2.6.12, columns behind "last_chk" left out, "weight" moved. */
static void test_rows(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};

	(void)state;
	assert_int_equal(
		parse("# "
		      "pxname,svname,qcur,scur,stot,bin,bout,ereq,status,type,weight,check_status,"
		      "check_code,last_chk,-,\n"
		      "web,FRONTEND,,3,17,1044,99120,2,OPEN,0,,,,,-,\n"
		      "app,m1,0,1,9,500,600,,UP,2,10,L7OK,200,HTTP status check returned code "
		      "<200>,-,\n"
		      "app,m2,0,0,0,0,0,,DOWN 1/2,2,1,L4CON,,\"Connection refused at step 1, "
		      "\"\"a\"\"\",-,\n"
		      "app,BACKEND,0,1,9,500,600,,UP,1,10,,,,-,\n"
		      "\n",
			&t, NULL),
		0);
	assert_int_equal(t.n_rows, 4);
	assert_int_equal(t.rows[0].kind, STATS_FRONTEND);
	assert_string_equal(t.rows[0].proxy, "web");
	assert_string_equal(t.rows[0].name, "FRONTEND");
	assert_string_equal(t.rows[0].status, "OPEN");
	assert_string_equal(t.rows[0].check_status, "");
	assert_int_equal(t.rows[0].current_sessions, 3);
	assert_int_equal(t.rows[0].total_sessions, 17);
	assert_int_equal(t.rows[0].bytes_in, 1044);
	assert_int_equal(t.rows[0].bytes_out, 99120);
	assert_int_equal(t.rows[0].request_errors, 2);
	assert_int_equal(t.rows[1].kind, STATS_SERVER);
	assert_int_equal(t.rows[1].weight, 10);
	assert_int_equal(t.rows[1].request_errors, 0);
	assert_string_equal(t.rows[1].last_check, "HTTP status check returned code <200>");
	assert_string_equal(t.rows[2].status, "DOWN 1/2");
	assert_string_equal(t.rows[2].check_status, "L4CON");
	assert_string_equal(t.rows[2].last_check, "Connection refused at step 1, \"a\"");
	assert_int_equal(t.rows[3].kind, STATS_BACKEND);
	/* What rows have in common is kept once. */
	assert_ptr_equal(t.rows[1].proxy, t.rows[3].proxy);
}

static void test_no_rows(void **state)
{
	_cleanup_stats_ struct stats_table a = {0}, b = {0};

	(void)state;
	assert_int_equal(parse(HEADER, &a, NULL), 0);
	assert_int_equal(a.n_rows, 0);
	assert_int_equal(parse(HEADER "\n", &b, NULL), 0);
	assert_int_equal(b.n_rows, 0);
}

static void test_what_follows_the_table_is_not_read(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};

	(void)state;
	assert_int_equal(
		parse(HEADER "a,FRONTEND,1,1,1,1,1,OPEN,,0,,,\n\nName: HAProxy\n", &t, NULL), 0);
	assert_int_equal(t.n_rows, 1);
}

static void test_unknown_kinds_are_skipped(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};

	(void)state;
	assert_int_equal(parse(HEADER "a,x,1,1,1,1,1,OPEN,,4,,,\n"
				      "a,y,1,1,1,1,1,OPEN,,,,,\n"
				      "a,z,1,1,1,1,1,OPEN,,3,,,\n",
				 &t, NULL),
		0);
	assert_int_equal(t.n_rows, 1);
	assert_string_equal(t.rows[0].name, "z");
	assert_int_equal(t.rows[0].kind, STATS_LISTENER);
}

static void test_numbers(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};

	(void)state;
	assert_int_equal(
		parse(HEADER "a,b,9223372036854775807,18446744073709551615,-5,,0,UP,,2,,,\n", &t,
			NULL),
		0);
	assert_true(t.rows[0].current_sessions == INT64_MAX);
	assert_true(t.rows[0].total_sessions == INT64_MAX);
	assert_int_equal(t.rows[0].bytes_in, -5);
	assert_int_equal(t.rows[0].bytes_out, 0);
	stats_done(&t);

	assert_int_equal(parse(HEADER "a,b,9223372036854775808,-9223372036854775809,-9223372036854775808,+7,"
				      "99999999999999999999999999999999999999999999999999999999999999999999999,UP,,2,,,\n",
				 &t, NULL),
		0);
	assert_true(t.rows[0].current_sessions == INT64_MAX);
	assert_true(t.rows[0].total_sessions == INT64_MIN);
	assert_true(t.rows[0].bytes_in == INT64_MIN);
	assert_int_equal(t.rows[0].bytes_out, 7);
	assert_true(t.rows[0].request_errors == INT64_MAX);
}

static void test_quotes(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct stats_table none;

	(void)state;
	assert_int_equal(
		parse(HEADER "\"a,\nb\",\"\",1,1,1,1,1,x\"y,,0,,\"\"\"\",\n", &t, NULL), 0);
	assert_string_equal(t.rows[0].proxy, "a,\nb");
	assert_string_equal(t.rows[0].name, "");
	assert_string_equal(t.rows[0].status, "x\"y");
	assert_string_equal(t.rows[0].last_check, "\"");

	/* The line with the mistake is the fourth: a field of the second goes on in the third. */
	assert_true(parse(HEADER "\"a\nb\",,1,1,1,1,1,,,0,,,\na,b\n", &none, &err) < 0);
	assert_non_null(strstr(error_message(&err), "line 4"));
}

static void test_many_rows(void **state)
{
	_cleanup_stats_ struct stats_table t = {0};
	_cleanup_text_ struct text csv = TEXT_INIT;

	(void)state;
	text_append(&csv, HEADER);
	for (int i = 0; i < 10000; i++)
		text_printf(&csv, "pool,m%d,%d,1,1,1,1,UP,,2,,,\n", i, i);
	assert_false(csv.failed);
	assert_int_equal(parse(text_peek(&csv), &t, NULL), 0);
	assert_int_equal(t.n_rows, 10000);
	assert_string_equal(t.rows[9999].name, "m9999");
	assert_int_equal(t.rows[9999].current_sessions, 9999);
}

static void test_broken(void **state)
{
	static const struct {
		const char *csv, *words;
	} bad[] = {
		{"", "no CSV"},
		{"#", "no CSV"},
		{"Permission denied\n", "no CSV: Permission denied"},
		{"\x1b[2J\n", "no CSV: ?[2J"},
		{"# ", "line 1: the line is cut short"},
		{"# pxname,svname\n", "line 1: the column \"scur\" is missing"},
		{"# pxname,svname,scur,stot,bin,bout,ereq,status,weight,type,check_status\n",
			"\"last_chk\" is missing"},
		{HEADER "a,b,1,1,1,1,1,UP,,2,,", "line 2: the line is cut short"},
		{HEADER "a,b,1,1,1,1,1,UP,,2,\n", "line 2: the line is cut short"},
		{HEADER "a,b,1,1,1,1,1,UP,,2,,,\na,b", "line 3: the line is cut short"},
		{HEADER "a,b,1,1,1,1,1,UP,,2,,\"x,\n", "line 2: the line is cut short"},
		{HEADER "a,b,1,1,1,1,1,UP,,2,,\"x\"y,\n", "line 2: the line is cut short"},
		{HEADER "a,b,one,1,1,1,1,UP,,2,,,\n", "line 2: \"scur\" is no number"},
		{HEADER "a,b,1,1,1,1,1,UP,,x,,,\n", "line 2: \"type\" is no number"},
		{HEADER "a,b,-,1,1,1,1,UP,,2,,,\n", "line 2: \"scur\" is no number"},
		{HEADER "a,b,1,1 ,1,1,1,UP,,2,,,\n", "line 2: \"stot\" is no number"},
		{HEADER "a,b,1,1,99999999999999999999x,1,1,UP,,2,,,\n", "line 2: \"bin\" is no number"},
	};
	struct stats_table t = {.n_rows = 77};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		if (parse(bad[i].csv, &t, &err) == 0)
			fail_msg("taken: %s", bad[i].csv);
		assert_int_equal(err.code, ERROR_INTERNAL);
		if (!strstr(error_message(&err), bad[i].words))
			fail_msg("\"%s\" lacks \"%s\"", error_message(&err), bad[i].words);
	}
	assert_true(parse_bytes(HEADER "a\0b\n", sizeof(HEADER) + 4, &t, NULL) < 0);
	assert_int_equal(t.n_rows, 77);
}

static void test_too_many_columns(void **state)
{
	_cleanup_text_ struct text csv = TEXT_INIT;
	struct stats_table t;

	(void)state;
	text_append(&csv, "# ");
	for (int i = 0; i < 5000; i++)
		text_append(&csv, "a,");
	text_append(&csv, "\n");
	assert_false(csv.failed);
	assert_true(parse(text_peek(&csv), &t, NULL) < 0);
}

/* Nothing depends on this column where it is missing. */
static void test_requests(void **state)
{
	_cleanup_stats_ struct stats_table t = {0}, without = {0};

	(void)state;
	assert_int_equal(parse("# pxname,svname,scur,stot,bin,bout,ereq,status,weight,type,check_status,"
			       "last_chk,req_tot,\nweb,FRONTEND,1,2,3,4,0,OPEN,,0,,,99,\n",
				 &t, NULL),
		0);
	assert_int_equal(t.rows[0].requests, 99);
	assert_int_equal(parse(HEADER "web,FRONTEND,1,2,3,4,0,OPEN,,0,,,\n", &without, NULL), 0);
	assert_int_equal(without.rows[0].requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_no_rows),
		cmocka_unit_test(test_what_follows_the_table_is_not_read),
		cmocka_unit_test(test_unknown_kinds_are_skipped),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_too_many_columns),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
