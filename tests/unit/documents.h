/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Definitions for tests, written with ' where JSON has ". What most of them have in common is a macro.
 */

#include <stddef.h>

#include "agent/definition/model.h"

#define LB_ID "11111111-2222-4333-8444-555555555555"
#define ID_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define ID_B "bbbbbbbb-0000-4000-8000-00000000000b"

#define LISTENER "'protocol':'HTTP','protocol_port':80"
#define POOL "'protocol':'HTTP','lb_algorithm':'ROUND_ROBIN'"
#define MEMBER "'address':'192.0.2.1','protocol_port':80"
#define MONITOR "'delay':5,'timeout':3,'max_retries':2"
#define IN_LISTENER(text) "'listeners':[{" LISTENER "," text "}]"
#define IN_POOL(text) "'pools':[{'name':'p'," POOL "," text "}]"
#define IN_MEMBER(text) IN_POOL("'members':[{" MEMBER "," text "}]")
#define IN_MONITOR(text) IN_POOL("'healthmonitor':{" MONITOR "," text "}")
#define L0 "/loadbalancer/listeners/0"
#define L1 "/loadbalancer/listeners/1"
#define P0 "/loadbalancer/pools/0"
#define P1 "/loadbalancer/pools/1"
#define M0 P0 "/members/0"
#define H0 P0 "/healthmonitor"
#define POLICY0 L0 "/l7policies/0"
#define RULE0 POLICY0 "/rules/0"
#define POLICY "'action':'REJECT'"
#define RULE "'type':'PATH','compare_type':'STARTS_WITH','value':'/x'"
#define IN_POLICY(text) IN_LISTENER("'l7policies':[{" text "}]")
#define IN_RULE(text) IN_POLICY(POLICY ",'rules':[{" text "}]")

extern const struct definition_defaults document_defaults;

int parse_raw(const char *body, size_t length, struct load_balancer **ret, struct error *err);
int parse_document(const char *text, struct load_balancer **ret, struct error *err);
/* "text" is what stands between the braces of the load balancer. */
int parse(const char *text, struct load_balancer **ret, struct error *err);
/* Fails the test if it is refused. */
struct load_balancer *parse_good(const char *text);
void assert_good(const char *text);

struct refusal {
	const char *document;
	enum error_code code;
	const char *pointer;
	const char *words; /* part of the message */
};

/* All fail as their rows say, the texts as of parse() or of parse_document(). */
void check_refusals(const struct refusal *rows, size_t n);
void check_refused_documents(const struct refusal *rows, size_t n);

/* Parsing the canonical text gives the same text. */
void check_fixed_point(const char *text);
