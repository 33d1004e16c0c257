/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "agent/network/netlink.h"
#include "agent/network/route.h"

DEFINE_CLEANUP(struct rtnl_rule *, sym_rtnl_rule_put);
#define _cleanup_rtnl_rule_ _cleanup_(sym_rtnl_rule_putp)

#ifndef RTPROT_KEEPALIVED
#define RTPROT_KEEPALIVED 18
#endif

bool rule_equal(const struct ip_rule *a, const struct ip_rule *b)
{
	return a->table == b->table && ip_network_equal(&a->source, &b->source);
}

/* -ENOENT: not one of ours. */
static int describe(struct rtnl_rule *from, struct ip_rule *ret)
{
	struct nl_addr *source = sym_rtnl_rule_get_src(from);
	struct ip_rule rule = {.table = sym_rtnl_rule_get_table(from)};
	uint8_t protocol;

	if (sym_rtnl_rule_get_protocol(from, &protocol) == 0 &&
		(protocol == RTPROT_KERNEL || protocol == RTPROT_KEEPALIVED))
		return -ENOENT;
	if (!source || netlink_ip(source, &rule.source) < 0)
		return -ENOENT;
	*ret = rule;
	return 0;
}

static int append_family(struct nl_sock *sock, int family, struct ip_rule **list, size_t *n)
{
	_cleanup_nl_cache_ struct nl_cache *cache = NULL;
	struct ip_rule *grown;
	int r;

	r = sym_rtnl_rule_alloc_cache(sock, family, &cache);
	if (r < 0)
		return netlink_errno(r);
	grown = reallocarray(*list, *n + (size_t)sym_nl_cache_nitems(cache) + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	NL_FOREACH (object, cache)
		if (describe((struct rtnl_rule *)object, &grown[*n]) == 0)
			(*n)++;
	return 0;
}

int rule_list(struct nl_sock *sock, struct ip_rule **ret, size_t *ret_n)
{
	_cleanup_free_ struct ip_rule *list = NULL;
	size_t n = 0;
	int r;

	r = append_family(sock, AF_INET, &list, &n);
	if (r == 0)
		r = append_family(sock, AF_INET6, &list, &n);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static int build(const struct ip_rule *rule, bool with_priority, struct rtnl_rule **ret)
{
	_cleanup_rtnl_rule_ struct rtnl_rule *built = sym_rtnl_rule_alloc();
	_cleanup_nl_addr_ struct nl_addr *source = NULL;
	int r;

	if (!built)
		return -ENOMEM;
	r = netlink_address(&rule->source.ip, rule->source.prefix, &source);
	if (r < 0)
		return r;
	sym_rtnl_rule_set_family(built, rule->source.ip.family);
	sym_rtnl_rule_set_action(built, FR_ACT_TO_TBL);
	sym_rtnl_rule_set_table(built, rule->table);
	if (with_priority)
		sym_rtnl_rule_set_prio(built, RULE_PRIORITY);
	r = netlink_errno(sym_rtnl_rule_set_src(built, source));
	if (r < 0)
		return r;
	*ret = TAKE_PTR(built);
	return 0;
}

int rule_add(struct nl_sock *sock, const struct ip_rule *rule)
{
	_cleanup_rtnl_rule_ struct rtnl_rule *built = NULL;
	int r;

	r = build(rule, true, &built);
	return r < 0 ? r : netlink_errno(sym_rtnl_rule_add(sock, built, NLM_F_EXCL));
}

int rule_delete(struct nl_sock *sock, const struct ip_rule *rule)
{
	_cleanup_rtnl_rule_ struct rtnl_rule *built = NULL;
	int r;

	r = build(rule, false, &built);
	return r < 0 ? r : netlink_errno(sym_rtnl_rule_delete(sock, built, 0));
}
