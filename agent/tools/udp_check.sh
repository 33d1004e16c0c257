#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Check of UDP-CONNECT health monitors: ADDRESS PORT. The name stands in the configurations that Octavia uploads; keepalived
# kills it after "misc_timeout", one second at least.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
exec amphora-health-checker udp -t 0.8 "$1" "$2" >/dev/null
