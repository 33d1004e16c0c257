/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a definition may hold, in one place. Sizes in characters or objects unless the name says otherwise.
 * Source of the string and number limits: OpenStack Octavia, Load Balancer API v2 reference.
 */

enum {
	LIMIT_BODY_BYTES = 16 * 1024 * 1024,
	LIMIT_CONFIG_BYTES = 1024 * 1024,   /* an agent configuration, a server certificate */
	LIMIT_SMALL_BODY_BYTES = 64 * 1024, /* where no body is expected but one does no harm */
	LIMIT_JSON_DEPTH = 16,
	LIMIT_LISTENERS = 1000,
	LIMIT_POOLS = 2000,
	LIMIT_MEMBERS_PER_POOL = 10000,
	LIMIT_CIDRS_PER_LISTENER = 10000,
	LIMIT_L7POLICIES = 1000,          /* of a listener */
	LIMIT_L7RULES = 50,               /* of a policy; octavia/common/constants.py */
	LIMIT_POSITION = 2147483647,
	LIMIT_SNI = 1000,                 /* certificates of a listener */
	LIMIT_ADDITIONAL_VIPS = 100,
	LIMIT_SECURITY_GROUPS = 100,
	LIMIT_CIPHERS = 2048,
	LIMIT_URL = 255,                  /* redirect_url, redirect_prefix; octavia/db/models.py */
	LIMIT_TAGS = 50,
	LIMIT_TAG = 255,
	LIMIT_NAME = 255,
	LIMIT_PROJECT_ID = 36,
	LIMIT_URL_PATH = 2048,
	LIMIT_REVISIONS = 10,
	LIMIT_PERSISTENCE_TIMEOUT_S = 31 * 24 * 60 * 60, /* 31 days: what keepalived takes */
	LIMIT_TIMEOUT_MS = 24 * 24 * 60 * 60 * 1000, /* 24 days: what HAProxy's timers hold */
};
