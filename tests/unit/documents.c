/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/documents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/quotes.h"

const struct definition_defaults document_defaults = {.timeout_client_data_ms = 50001,
	.timeout_member_connect_ms = 5002,
	.timeout_member_data_ms = 50003,
	.timeout_tcp_inspect_ms = 4};

int parse_raw(const char *body, size_t length, struct load_balancer **ret, struct error *err)
{
	return definition_parse(LB_ID, body, length, &document_defaults, ret, err);
}

int parse_document(const char *text, struct load_balancer **ret, struct error *err)
{
	_cleanup_free_ char *body = with_quotes(text);

	return parse_raw(body, strlen(body), ret, err);
}

int parse(const char *text, struct load_balancer **ret, struct error *err)
{
	_cleanup_free_ char *document = NULL;

	assert_true(asprintf(&document, "{'loadbalancer':{%s}}", text) > 0);
	return parse_document(document, ret, err);
}

struct load_balancer *parse_good(const char *text)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *lb = NULL;

	if (parse(text, &lb, &err) != 0)
		fail_msg("%s\n%s: %s", text, err.pointer, error_message(&err));
	assert_null(err.message);
	return lb;
}

void assert_good(const char *text)
{
	load_balancer_unref(parse_good(text));
}

typedef int (*parser)(const char *text, struct load_balancer **ret, struct error *err);

static void check_refusal(const struct refusal *row, parser function)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	int r = function(row->document, &lb, &err);

	if (r != error_code_to_errno(row->code) || err.code != row->code || lb ||
		!streq_null(err.pointer, row->pointer) || !strstr(error_message(&err), row->words))
		fail_msg("%s\n  wanted %d at %s: %s\n  got %d (%d) at %s: %s", row->document, row->code,
			row->pointer ? row->pointer : "nowhere", row->words, err.code, r,
			err.pointer ? err.pointer : "nowhere", error_message(&err));
}

void check_refusals(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_refusal(&rows[i], parse);
}

void check_refused_documents(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_refusal(&rows[i], parse_document);
}

void check_fixed_point(const char *text)
{
	/* Others: what is in the text does not change with the configuration. */
	static const struct definition_defaults others = {.timeout_client_data_ms = 1,
		.timeout_member_connect_ms = 1,
		.timeout_member_data_ms = 1,
		.timeout_tcp_inspect_ms = 1};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(text), *again = NULL;
	_cleanup_free_ char *first = NULL, *second = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t length;

	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &first, &length), 0);
	assert_int_equal(strlen(first), length);
	if (definition_parse(LB_ID, first, length, &others, &again, &err) < 0)
		fail_msg("%s\n%s: %s", first, err.pointer, error_message(&err));
	assert_int_equal(definition_to_text(again, DEFINITION_WHOLE, &second, NULL), 0);
	assert_string_equal(first, second);
	assert_true(definition_equal(lb, again));
}
