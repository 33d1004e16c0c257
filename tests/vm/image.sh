# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The disk image of an amphora for tests. To be sourced by bash after machine.sh, in the top folder of the tree.
#
#   image_need                   exits 77 with a reason if a program is missing
#   image_make                   makes the image, once for each content of this tree, unless AMPHORA_IMAGE names one; sets
#                                "image" to its path
#   image_open_door IMAGE COPY   the image with a way in for a test
#
# AMPHORA_IMAGE     a raw image that is there already
# AMPHORA_DEBS      the DEBs to put into it, separated by blanks (default: packaging/build-deb makes them)

image_skip()
{
	echo "skipped: $*"
	exit 77
}

image_need()
{
	local pair missing=""

	for pair in qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mmdebstrap:mmdebstrap genisoimage:genisoimage \
		mksquashfs:squashfs-tools mke2fs:e2fsprogs sfdisk:fdisk mkfs.fat:dosfstools mcopy:mtools syslinux:syslinux \
		dpkg-buildpackage:dpkg-dev dh:debhelper; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%:*}" >/dev/null || missing+=" ${pair#*:}"
	done
	[[ -z $missing ]] || image_skip "packages are missing:$missing (./bootstrap packages check-vm or check-octavia-image)"
	[[ $(uname -m) == x86_64 ]] || image_skip "makes an x86_64 machine only"
}

image_make()
{
	local new arguments=() deb

	if [[ ${AMPHORA_IMAGE-} ]]; then
		image=$AMPHORA_IMAGE
		return
	fi
	mkdir -p "$MACHINE_DIR"
	AMPHORA_DEBS=$(machine_packages)
	# One image for each content of what goes into it.
	image=$MACHINE_DIR/image-$({
		echo "$MACHINE_SUITE $AMPHORA_DEBS"
		find packaging/image -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	} | sha256sum | cut -c1-16).raw
	[[ ! -e $image ]] || return 0
	new=$(mktemp -d "$MACHINE_DIR/new-XXXXXX")
	trap 'rm -rf "$new"' EXIT
	for deb in $AMPHORA_DEBS; do
		arguments+=(--package "$deb")
	done
	# Images of trees that are gone.
	find "$MACHINE_DIR" -maxdepth 1 -name 'image-*' -mtime +2 -delete
	packaging/image/build --quick --format raw --output "$new/image" "${arguments[@]}" \
		--suite "$MACHINE_SUITE" ${MACHINE_MIRROR:+--mirror "$MACHINE_MIRROR"}
	mv "$new/image.raw" "$image"
	rm -rf "$new"
	trap - EXIT
}

# Nobody gets into the image. The test does, by a file in the part of /etc that a machine keeps: the rest is what users have.
image_open_door()
{
	local from=$1 to=$2 upper=/lib/amphora-image/etc/upper start size work

	work=$(mktemp -d "${TMPDIR:-/tmp}/image-door-XXXXXX")
	read -r start size < <(sfdisk -J "$from" | /usr/bin/python3 -c 'import json, sys
state = json.load(sys.stdin)["partitiontable"]["partitions"][2]
print(state["start"] // 2048, state["size"] // 2048)')
	dd if="$from" of="$work/state" bs=1M skip="$start" count="$size" conv=sparse status=none
	debugfs -w -f - "$work/state" >"$work/debugfs" 2>&1 <<-END
	mkdir $upper/systemd
	mkdir $upper/systemd/system
	mkdir $upper/systemd/system/multi-user.target.wants
	write tests/vm/door/door $upper/amphora-test-door
	write tests/vm/door/amphora-test-door.service $upper/systemd/system/amphora-test-door.service
	symlink $upper/systemd/system/multi-user.target.wants/amphora-test-door.service ../amphora-test-door.service
	END
	cp --sparse=always "$from" "$to"
	dd if="$work/state" of="$to" bs=1M seek="$start" conv=notrunc,sparse status=none
	rm -rf "$work"
}
