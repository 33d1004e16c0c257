# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Machines to test in: a Debian with systemd as PID 1, booted by QEMU. To be sourced by bash. Needs no KVM; making a root file
# system needs root or what "mmdebstrap --mode=unshare" needs (uidmap, user namespaces).
#
#   machine_need            exits 77 with a reason if a program is missing
#   machine_root            makes the root file system, once for each list of packages; prints where
#   machine_boot ROOT DIR   boots a throw-away copy of it, mounts a copy of DIR at /run/payload and runs /run/payload/run
#                           there as root; what that prints is printed. It ends the machine by "systemctl --force poweroff";
#                           a reboot before keeps the disk. Gives up after MACHINE_TIMEOUT_S.
#
#   machine_packages        makes the DEBs of this tree, once for each content of it, unless AMPHORA_DEBS names some; prints
#                           their paths
#
# MACHINE_DIR          where root file systems are kept (default: $TMPDIR/amphorad-vm)
# MACHINE_PACKAGES     more packages
# MACHINE_SUITE, MACHINE_MIRROR     Debian release (bookworm), mirror (apt's)
# MACHINE_ACCEL        QEMU's accelerator (tcg: works everywhere; a boot takes about half a minute)
# MACHINE_TIMEOUT_S    default 1800

MACHINE_DIR=${MACHINE_DIR:-${TMPDIR:-/tmp}/amphorad-vm}
MACHINE_SUITE=${MACHINE_SUITE:-bookworm}
MACHINE_ACCEL=${MACHINE_ACCEL:-tcg}
MACHINE_TIMEOUT_S=${MACHINE_TIMEOUT_S:-1800}
readonly MACHINE_BASE="systemd-sysv dbus udev linux-image-cloud-amd64 initramfs-tools zstd haproxy
	libmicrohttpd12 libjansson4 libsystemd0 libgnutls30 libinih1 libnl-3-200 libnl-genl-3-200 libnl-route-3-200 zlib1g
	libcurl3-gnutls libyaml-0-2"

machine_say()
{
	printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

machine_need()
{
	local program

	for program in qemu-system-x86_64 mmdebstrap genext2fs mke2fs resize2fs "$@"; do
		if ! PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then
			echo "skipped: $program is missing (packages: qemu-system-x86 mmdebstrap genext2fs e2fsprogs)"
			exit 77
		fi
	done
	if [[ $(uname -m) != x86_64 ]]; then
		echo "skipped: makes an x86_64 machine only"
		exit 77
	fi
}

# The unit that runs what the host wants to be run.
machine_write_runner()
{
	cat >"$1/amphora-vm-run.service" <<-'END'
	[Unit]
	Description=What the host wants to be run
	After=multi-user.target

	[Service]
	Type=oneshot
	ExecStartPre=/bin/mkdir -p /run/payload
	ExecStartPre=/bin/mount -o ro /dev/vdb /run/payload
	ExecStart=/run/payload/run
	StandardOutput=file:/dev/virtio-ports/result
	StandardError=inherit
	TimeoutStartSec=infinity

	[Install]
	WantedBy=default.target
	END
}

machine_packages()
{
	local folder new lock

	if [[ ${AMPHORA_DEBS-} ]]; then
		echo "$AMPHORA_DEBS"
		return
	fi
	folder=$MACHINE_DIR/debs-$(find agent api etc packaging templates configure.ac Makefile*.am -type f ! -path 'packaging/image/*' \
		-print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
	mkdir -p "$MACHINE_DIR"
	# Tests that run at the same time want the same.
	exec {lock}>"$MACHINE_DIR/debs.lock"
	flock "$lock"
	if [[ ! -d $folder ]]; then
		# Those of trees that are gone.
		find "$MACHINE_DIR" -maxdepth 1 -name 'debs-*' -mtime +2 -exec rm -rf {} +
		new=$(mktemp -d "$MACHINE_DIR/new-XXXXXX")
		machine_say "building the packages (log: $new/build-deb.log)"
		if ! packaging/build-deb --no-lint --output "$new" >"$new/said" 2>&1; then
			cat "$new/said" >&2
			rm -rf "$new"
			return 1
		fi
		mv -T "$new" "$folder"
	fi
	echo "$folder"/*.deb
}

machine_root()
{
	local packages key root new lock

	packages=$(echo $MACHINE_BASE ${MACHINE_PACKAGES-} | tr ' ' ,)
	key=$({ echo "$packages $MACHINE_SUITE"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)
	root=$MACHINE_DIR/$MACHINE_SUITE-$key
	mkdir -p "$MACHINE_DIR"
	# Tests that run at the same time want the same.
	exec {lock}>"$MACHINE_DIR/root.lock"
	flock "$lock"
	if [[ ! -d $root ]]; then
		new=$(mktemp -d "$MACHINE_DIR/new-XXXXXX")
		machine_write_runner "$new"
		machine_say "making a root file system (about a minute, once; log: $new/log)"
		# shellcheck disable=SC2016 # $1 is for the hooks' shell
		if ! mmdebstrap --variant=minbase --format=ext2 --include="$packages" \
			--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
			--customize-hook="copy-in $new/amphora-vm-run.service /etc/systemd/system" \
			--customize-hook='touch "$1"/etc/amphorad-test-vm; echo vm >"$1"/etc/hostname' \
			--customize-hook='systemctl --root="$1" enable amphora-vm-run.service' \
			--customize-hook='systemctl --root="$1" mask systemd-logind.service haproxy.service' \
			--customize-hook="copy-out /boot $new" \
			"$MACHINE_SUITE" "$new/disk" ${MACHINE_MIRROR:+"$MACHINE_MIRROR"} >"$new/log" 2>&1 </dev/null; then
			tail -n 20 "$new/log" >&2
			rm -rf "$new"
			return 1
		fi
		mv "$new"/boot/vmlinuz-* "$new/vmlinuz"
		mv "$new"/boot/initrd.img-* "$new/initrd"
		rm -rf "${new:?}/boot"
		truncate -s +512M "$new/disk"
		PATH=$PATH:/usr/sbin:/sbin resize2fs "$new/disk" >>"$new/log" 2>&1
		mv -T "$new" "$root"
	fi
	echo "$root"
}

machine_boot()
{
	local root=$1 work status=0

	work=$(mktemp -d "${TMPDIR:-/tmp}/machine-XXXXXX")
	PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext2 -d "$2" "$work/payload" 64M >/dev/null
	machine_say "booting it (console: $work/console)"
	timeout --foreground "$MACHINE_TIMEOUT_S" qemu-system-x86_64 -no-user-config -M q35 -accel "$MACHINE_ACCEL" -cpu max -smp 2 \
		-m 1024 -display none -monitor none -nic none \
		-kernel "$root/vmlinuz" -initrd "$root/initrd" -append "root=/dev/vda rw console=ttyS0 quiet panic=-1" \
		-drive file="$root/disk",if=virtio,format=raw,snapshot=on \
		-drive file="$work/payload",if=virtio,format=raw,readonly=on \
		-serial file:"$work/console" -device virtio-serial-pci \
		-chardev file,id=result,path=/dev/fd/1,append=on -device virtserialport,chardev=result,name=result </dev/null | cat || status=$?
	if ((status)); then
		machine_say "QEMU ended with status $status; the end of its console:"
		tail -n 30 "$work/console" >&2
	fi
	rm -rf "$work"
	return "$status"
}
