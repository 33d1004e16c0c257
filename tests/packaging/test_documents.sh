#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What documents refer to is there: relative links and their headings, our own manual pages, metrics, commands of amphoractl.

set -euo pipefail

readonly BUILD=${AMPHORAD_BUILD_DIR:-$PWD/build}
cd "${AMPHORAD_SRC_DIR:-.}"
documents=(README.md CONTRIBUTING.md CHANGELOG.md docs/*.md packaging/image/README.md packaging/image/elements/amphorad/README.md)
failed=0 links=0 pages=0 metrics=0 commands=0

complain()
{
	printf '%s\n' "$*" >&2
	failed=1
}

# GitHub's name of a heading: lower case, without punctuation, '-' for blanks.
has_heading()
{
	grep '^#' "$1" | sed 's/^#* *//; s/[^[:alnum:] _-]//g; s/ /-/g' | tr '[:upper:]' '[:lower:]' | grep -xF "$2" >/dev/null
}

for document in "${documents[@]}"; do
	while read -r link; do
		links=$((links + 1))
		file=${link%%#*}
		target=${file:+$(dirname "$document")/$file}
		target=${target:-$document}
		if [[ ! -e $target ]]; then
			complain "$document: there is no $link"
		elif [[ $link == *#* ]] && ! has_heading "$target" "${link#*#}"; then
			complain "$document: $target has no heading ${link#*#}"
		fi
	done < <(grep -o '\]([^)]*)' "$document" | sed 's/^](//; s/)$//' | grep -v '^https\?:')
done

while IFS=: read -r page name section; do
	pages=$((pages + 1))
	[[ -e packaging/man/$name.$section ]] || complain "$page: there is no $name($section)"
done < <(sed -n 's/^\.Xr \(ampho[^ ]*\|haproxy-vrrp-check\|prometheus-proxy\) \([0-9]\).*/\1:\2/p; t; d' packaging/man/* | sort -u |
	sed 's/^/packaging\/man:/'
	grep -o '\bampho[a-z.-]*([0-9])' "${documents[@]}" | sed 's/(\([0-9]\))/:\1/')

# shellcheck disable=SC2016 # backquotes of Markdown
while read -r metric; do
	metrics=$((metrics + 1))
	grep -rqF "\"$metric\"" api || complain "docs/operating.md: there is no metric $metric"
done < <(grep -o '`amphorad_[a-z_]*`' docs/operating.md | tr -d '`')

while read -r command; do
	commands=$((commands + 1))
	"$BUILD/amphoractl" "$command" --help >/dev/null || complain "there is no command \"amphoractl $command\""
done < <(grep -oh '\bamphoractl [a-z-]*[a-z]' README.md docs/operating.md | sed 's/^amphoractl //' | sort -u)

((links > 5 && pages > 10 && metrics > 5 && commands > 5)) || complain "found $links links, $pages pages, $metrics metrics, $commands commands"
(($(wc -l <README.md) < 120)) || complain "README.md has 120 lines or more"
((failed == 0)) && echo "passed"
