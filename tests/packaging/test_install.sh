#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# "make install" puts what packaging/files lists where the programs look for it, keeps a configuration that somebody wrote, and
# "make uninstall" takes everything else away.

set -euo pipefail

readonly SOURCE=${AMPHORAD_SRC_DIR:-.} BUILD=${AMPHORAD_BUILD_DIR:-build}
# The flags of the make that runs the tests, its job server among them, are not for this one.
unset MAKEFLAGS MFLAGS MAKELEVEL
stage=$(mktemp -d "${TMPDIR:-/tmp}/test-install-XXXXXX")
trap 'rm -rf "$stage"' EXIT

fail()
{
	printf 'failed: %s\n' "$*" >&2
	exit 1
}

run_make()
{
	make -C "$BUILD" --no-print-directory -s "$@" DESTDIR="$stage" >"$stage.log" 2>&1 || {
		cat "$stage.log" >&2
		fail "make $*"
	}
	cat "$stage.log"
	rm -f "$stage.log"
}

# Where this build folder installs a kind of file.
folder()
{
	sed -n 's/^folder //p' < <(make -C "$BUILD" --no-print-directory -s -f Makefile -f - print <<<"print: ; @echo 'folder \$($1)'")
}

# The name of a package's file in this build.
here()
{
	sed -e "s|^@sbindir@|${at[sbindir]}|; s|^@unitdir@|${at[systemdsystemunitdir]}|; s|^/etc/|${at[sysconfdir]}/|" \
		-e "s|^/usr/bin/|${at[bindir]}/|; s|^/usr/libexec/amphorad|${at[pkglibexecdir]}|" \
		-e "s|^/usr/share/amphorad|${at[pkgdatadir]}|; s|^/usr/share/man|${at[mandir]}|" \
		-e "s|^/usr/share/bash|${at[datadir]}/bash|; s|^/usr/lib/|${at[prefix]}/lib/|" <<<"$1"
}

declare -A at
for name in prefix sbindir bindir sysconfdir pkglibexecdir pkgdatadir datadir mandir systemdsystemunitdir; do
	at[$name]=$(folder "$name")
done
config=${at[sysconfdir]}/amphorad/amphorad.conf

run_make install >/dev/null
while read -r _ kind path; do
	installed=$stage$(here "$path")
	[[ -e $installed || -L $installed ]] || fail "$path ($kind) is not at ${installed#"$stage"}"
done < <(sed -n '/^amphor/p' "$SOURCE/packaging/files")

# Programs, pages and units name what was installed.
for program in "${at[sbindir]}/amphorad" "${at[sbindir]}/amphora-interface"; do
	grep -qF "$config" < <("$stage$program" --help) || fail "$program --help does not name $config"
done
grep -qF "$config" "$stage${at[mandir]}/man5/amphorad.conf.5" || fail "amphorad.conf.5 does not name $config"
grep -qF "template_dir = ${at[pkgdatadir]}/templates" "$stage$config" || fail "$config has another template_dir"
grep -qF "ExecStart=${at[sbindir]}/amphorad" "$stage${at[systemdsystemunitdir]}/amphorad.service" || fail "amphorad.service starts another program"
for link in "${at[sbindir]}/amphora-agent" "${at[systemdsystemunitdir]}/amphora-agent.service" "${at[mandir]}/man8/amphora-agent.8"; do
	[[ -e $stage$link ]] || fail "$link leads nowhere"
done

# Somebody's configuration.
echo "# ours" >>"$stage$config"
grep -qF "$config.new" < <(run_make install) || fail "installing over a changed configuration does not say so"
[[ $(tail -n 1 "$stage$config") == "# ours" ]] || fail "$config was overwritten"
cmp "$stage$config.new" "$BUILD/amphorad.conf" || fail "$config.new is not the new one"
run_make uninstall >/dev/null
[[ $(cd "$stage" && find . ! -type d) == ".$config" ]] || fail "left by make uninstall: $(cd "$stage" && find . ! -type d)"
cp "$BUILD/amphorad.conf" "$stage$config"
run_make uninstall >/dev/null
[[ ! $(find "$stage" ! -type d) ]] || fail "left by the second one: $(find "$stage" ! -type d)"
echo "passed"
