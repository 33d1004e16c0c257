# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What build-deb and build-rpm share. To be sourced by bash in the top folder of the tree.

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

say()
{
	printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

# The version of the program.
tree_version()
{
	sed -n 's/^AC_INIT(\[amphorad\], \[\(.*\)\])$/\1/p' configure.ac
}

# copy_tree FOLDER: what git tracks as it is in the working tree, or the whole of an unpacked tarball.
copy_tree()
{
	mkdir -p "$1"
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1 && [[ $(git rev-parse --show-toplevel) == "$PWD" ]]; then
		git ls-files -z --cached --others --exclude-standard
	else
		find . -mindepth 1 \( -path './build*' ! -path './build-aux*' -o -path ./ci-logs -o -path ./packages \) -prune -o \
			! -type d -printf '%P\0'
	fi | while IFS= read -r -d '' file; do
		# What was deleted and not yet committed.
		if [[ -e $file ]]; then printf '%s\0' "$file"; fi
	done | tar -c --null --verbatim-files-from --files-from=- | tar -x -C "$1"
}

# The end of what a command said, if it fails.
quietly()
{
	local log=$1 status=0

	shift
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if ((status)); then
		tail -n 40 "$log" >&2
		die "failed: $* (everything it said: $log)"
	fi
}

