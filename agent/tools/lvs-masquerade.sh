#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What LVS sends to members leaves with the amphora's address (masquerade, UDP and SCTP), and TCP, which HAProxy serves, is
# spared connection tracking, unless a firewall needs it ("sriov"). Called by interface files when an interface comes up or
# goes down, inside the network namespace:
#
#   lvs-masquerade.sh add|delete ipv4|ipv6 INTERFACE [sriov]
#
# Names of tables and chains, priorities and arguments are those of Octavia's program of this name
# (elements/amphora-agent/static/usr/local/bin/). The interfaces are elements of sets, so that one can be added twice or
# deleted without touching another; each call is one transaction.

PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH
set -u

usage()
{
	echo "usage: ${0##*/} add|delete ipv4|ipv6 INTERFACE [sriov]" >&2
	exit 1
}

[ $# -eq 3 ] || [ $# -eq 4 ] || usage
action=$1 version=$2 interface=$3 option=${4-}

case $version in
ipv4) family=ip udp=ip-udp-masq sctp=ip-sctp-masq ;;
ipv6) family=ip6 udp=ip6-udp-masq sctp=ip6-sctp-masq ;;
*) usage ;;
esac
case $option in
'' | sriov) ;;
*) usage ;;
esac
# It stands in quotes in what nft reads; '*' would be a pattern.
case $interface in
'' | *[!A-Za-z0-9_.@-]*) usage ;;
esac
[ ${#interface} -le 15 ] || usage

if ! command -v nft >/dev/null 2>&1; then
	echo "${0##*/}: nft is not installed (package nftables)" >&2
	exit 1
fi

table="$family octavia-$version"

# Both are there from now on; an element that is not in a set could not be deleted.
sets()
{
	echo "add table $table"
	for set in masq-interfaces notrack-interfaces; do
		echo "add set $table $set { type ifname; }"
		echo "add element $table $set { \"$interface\" }"
	done
}

# Emptied before they are filled: the same again, also over what Octavia's program has left.
chain()
{
	echo "add chain $table $1 { type $2; }"
	echo "flush chain $table $1"
	echo "add rule $table $1 $3"
}

add()
{
	sets
	[ -z "$option" ] || echo "delete element $table notrack-interfaces { \"$interface\" }"
	chain $udp 'nat hook postrouting priority 100' 'oifname @masq-interfaces meta l4proto udp masquerade'
	chain $sctp 'nat hook postrouting priority 100' 'oifname @masq-interfaces meta l4proto sctp masquerade'
	[ -z "$option" ] || return 0
	chain prerouting 'filter hook prerouting priority -300' 'iifname @notrack-interfaces meta l4proto tcp notrack'
	chain output 'filter hook output priority -300' 'oifname @notrack-interfaces meta l4proto tcp notrack'
}

delete()
{
	sets
	echo "delete element $table masq-interfaces { \"$interface\" }"
	echo "delete element $table notrack-interfaces { \"$interface\" }"
}

case $action in
add)
	add | nft -f -
	;;
delete)
	delete | nft -f - || exit
	# With the last interface the table goes.
	case $(nft list set $table masq-interfaces) in
	*elements*) ;;
	*) nft delete table $table ;;
	esac
	;;
*)
	usage
	;;
esac
