# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
# What cases inside a virtual machine share: to be sourced by agent-cases and packages-cases, which set -uEo pipefail. WEB_PORT
# is the port that start_load uses.

readonly SOCKET=/run/amphorad/amphorad.sock
readonly BASE=/var/lib/octavia
readonly PATIENCE_S=300 # for an emulated processor of a busy machine

work=$(mktemp -d)
failed=0

unit_of() { echo "amphora-haproxy@$1.service"; }
property() { systemctl show --value -p "$2" "$1"; }
main_pid() { property "$(unit_of "$1")" MainPID; }
worker_pid() { ./tiny-http ask "/run/amphorad/$1.sock" "show info" | sed -n 's/^Pid: //p'; }
answer() { ./tiny-http get "$1" 2>&1; }

# The unit as systemctl sees it, in two words.
state()
{
	echo "$(systemctl is-active "$(unit_of "$1")") $(systemctl is-enabled "$(unit_of "$1")" 2>/dev/null)"
}

same()
{
	[[ $1 == "$2" ]] || {
		printf 'found: %s\nwanted: %s\n' "$1" "$2"
		return 1
	}
}

holds()
{
	[[ $1 == *"$2"* ]] || {
		printf 'found: %s\nwanted in it: %s\n' "$1" "$2"
		return 1
	}
}

# Until the command succeeds.
eventually()
{
	local end=$((SECONDS + PATIENCE_S))

	until "$@" >/dev/null 2>&1; do
		if ((SECONDS > end)); then
			echo "this never came true: $*"
			return 1
		fi
		sleep 0.1
	done
}

# A request to amphorad; its reply has to begin with the given status.
request()
{
	local status=$1 reply

	shift
	reply=$(./tiny-http request "$SOCKET" "$@")
	holds "_$reply" "_$status "
	printf '%s\n' "$reply"
}

logged()
{
	journalctl --sync
	journalctl -q -b --no-pager -o cat -u amphorad | grep -F -- "$1"
}

# definition FILE ID PORT MEMBER...
definition()
{
	local file=$1 id=$2 port=$3 members="" member

	shift 3
	for member; do
		members+="${members:+, }{\"address\": \"127.0.0.1\", \"protocol_port\": $member}"
	done
	cat >"$file" <<-END_OF_FILE
	{"loadbalancer": {"id": "$id", "name": "lb-$port", "vip_address": "127.0.0.1", "listeners": [
		{"name": "web", "protocol": "TCP", "protocol_port": $port, "default_pool": {
			"name": "members", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [$members]}}]}}
	END_OF_FILE
}

start_load()
{
	: >"$work/loading"
	: >"$work/load"
	./tiny-http load "$WEB_PORT" "$work/loading" >"$work/load" 2>&1 &
	more_load
}

# Some requests more were answered than there are now.
more_load()
{
	local wanted=$(($(wc -l <"$work/load") + 20))

	eventually lines "$work/load" "$wanted"
}

lines() { (($(wc -l <"$1") >= $2)); }

end_load()
{
	rm "$work/loading"
	wait
	echo "$(grep -c '^ok' "$work/load") requests"
	same "$(grep -v '^ok' "$work/load" | sort | uniq -c)" ""
}

run_case()
{
	local status

	(
		set -e
		trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
		"$1"
	) >"$work/said" 2>&1
	status=$?
	rm -f "$work/loading"
	if ((status)); then
		failed=$((failed + 1))
		echo "not ok ${1//_/ }"
		sed 's/^/    /' "$work/said"
	else
		echo "ok ${1//_/ }"
	fi
}
