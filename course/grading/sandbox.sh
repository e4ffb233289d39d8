#!/bin/sh
# Run a command where it sees only what it needs: sandbox.sh ROOT HOME USER PATH... -- COMMAND...
# ROOT: an empty folder; becomes "/". HOME: the only folder that is meant for writing, empty. USER: the number of the
# user who runs the command, or empty for the present one. PATH: what is seen, read-only. `course.grading.sandbox` calls
# this in new namespaces (`unshare`), so nothing that is mounted here is seen outside, and all of it goes when the
# command ends.
set -eu
root=$1 home=$2 user=$3
shift 3
mount -t tmpfs -o size=1g,mode=755,nosuid,nodev none "$root"

show() {
    mkdir -p "$root$(dirname "$1")"
    if [ -L "$1" ]; then # such as /bin, which is usr/bin
        ln -s "$(readlink "$1")" "$root$1"
        return
    fi
    if [ -d "$1" ]; then mkdir -p "$root$1"; else : >"$root$1"; fi
    mount --bind "$1" "$root$1"
    # The kernel wants the flags that the file system has already, such as nosuid.
    mount -o "remount,bind,$(findmnt -n -o VFS-OPTIONS --target "$1" | sed 's/^rw/ro/')" "$root$1"
}

while [ "$1" != -- ]; do
    show "$1"
    shift
done
shift
mkdir -p "$root/dev/shm" "$root/proc" "$root/old" "$root/tmp" "$root$home"
chmod 1777 "$root/dev/shm" "$root/tmp"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t proc -o ro,nosuid,nodev,noexec proc "$root/proc"

cd "$root"
pivot_root . old
cd /
umount -l old
rmdir old
if [ -n "$user" ]; then
    chown "$user:$user" "$home"
    set -- --reuid "$user" --regid "$user" --clear-groups -- "$@"
else
    set -- -- "$@"
fi
cd "$home"
# No capability is left, and none can be gained: what is mounted stays mounted.
exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs "$@"
