#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# External check of HAProxy for PING health monitors: whether the server answers one echo request. HAProxy kills it after
# "timeout check" and passes PROXY_ADDRESS PROXY_PORT SERVER_ADDRESS SERVER_PORT (configuration manual,
# "external-check command"). Its environment has HAPROXY_* and an empty PATH.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export PATH
case $HAPROXY_SERVER_ADDR in
*:*) exec ping -6 -q -n -w 1 -c 1 "$HAPROXY_SERVER_ADDR" >/dev/null 2>&1 ;;
*) exec ping -4 -q -n -w 1 -c 1 "$HAPROXY_SERVER_ADDR" >/dev/null 2>&1 ;;
esac
