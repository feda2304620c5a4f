#!/usr/bin/env bash
# two_hosts.sh [--rate 1gbit] [--] PROGRAM [ARGUMENTS]: runs PROGRAM as one MPI rank on each of two hosts that this
# machine plays: network namespaces with their own host name, /tmp and /dev/shm, an sshd each, half of the cores each,
# joined by a bridge in a third namespace; mpirun reaches the second one by ssh. --rate limits what each host sends
# (tc's notation). Nothing outside the namespaces changes, and everything is removed whatever happens.
# PROGRAM and its files must not lie in /tmp. TRIREME_* and OMP_* variables reach the ranks.
# Exit status: PROGRAM's; 77 after "skipped: REASON" where this machine cannot play hosts; 2 for a usage mistake.
set -euo pipefail

rate=""
while [[ $# -gt 0 ]]; do
  case "$1" in
    --rate) rate="${2:?two_hosts.sh: --rate wants a value such as 1gbit}"; shift 2 ;;
    --) shift; break ;;
    -*) echo "two_hosts.sh: unknown option $1; wanted --rate RATE" >&2; exit 2 ;;
    *) break ;;
  esac
done
if [[ $# -eq 0 ]]; then
  echo "two_hosts.sh: no program was named" >&2
  exit 2
fi

skip() { echo "skipped: $*"; exit 77; }
[[ $EUID -eq 0 ]] || skip "playing two hosts takes root"
PATH="$PATH:/usr/sbin:/sbin"
for tool in ip tc sshd ssh ssh-keygen mpirun nsenter unshare taskset; do
  command -v "$tool" >/dev/null || skip "no $tool (Debian: apt-get install iproute2 openssh-server openmpi-bin)"
done

tag="tri$$"
switch="${tag}s"
port=2222
subnet=10.213.77
work=""

# Ends what still runs in our own namespaces, then removes them; the interfaces go with them.
# shellcheck disable=SC2317  # called by the trap
cleanup() {
  trap '' INT TERM
  local space pid
  for space in "${tag}a" "${tag}b" "$switch"; do
    [[ -e "/run/netns/$space" ]] || continue
    for pid in $(ip netns pids "$space" 2>/dev/null); do
      kill -KILL "$pid" 2>/dev/null || true
    done
    ip netns delete "$space" || true
  done
  [[ -z "$work" ]] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

work="$(mktemp -d /var/tmp/trireme_hosts.XXXXXX)"
ip netns add "$switch" 2>/dev/null || skip "network namespaces are refused here"
ip -n "$switch" link add bridge type bridge || skip "the kernel has no bridge"
ip -n "$switch" link set bridge up
ssh-keygen -q -t ed25519 -N "" -f "$work/key"
ssh-keygen -q -t ed25519 -N "" -f "$work/host_key"
mkdir -p /run/sshd

cores="$(nproc)"
half=$((cores > 1 ? cores / 2 : 1))

# The text of a host's sshd.
sshd_config() {
  cat <<END
ListenAddress $1:$port
HostKey $work/host_key
AuthorizedKeysFile $work/key.pub
PidFile none
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PrintMotd no
MaxStartups 100
END
}

# start_host LETTER NUMBER: the namespaces live as long as the host's sshd, whose pid goes into $work/LETTER.pid.
start_host() {
  local letter="$1" number="$2" space="${tag}$1" first=$((($2 - 1) * half % cores))
  ip netns add "$space"
  ip -n "$switch" link add "p$letter" type veth peer name eth0 netns "$space"
  ip -n "$switch" link set "p$letter" mtu 9000 master bridge up
  ip -n "$space" address add "$subnet.$number/24" dev eth0
  ip -n "$space" link set lo up
  # Jumbo frames: cutting messages into packets is done here by the cores that compute, not by a network card.
  ip -n "$space" link set eth0 mtu 9000 up
  # A small burst: the tokens saved up while the link idles must not carry a message by themselves.
  [[ -z "$rate" ]] || ip netns exec "$space" tc qdisc add dev eth0 root tbf rate "$rate" burst 64kb latency 50ms
  mkdir -p "$work/$letter"
  chmod 1777 "$work/$letter"
  sshd_config "$subnet.$number" >"$work/$letter.conf"
  # shellcheck disable=SC2016
  taskset -c "$first-$((first + half - 1))" nsenter --net="/run/netns/$space" unshare -m -u bash -c '
    hostname "$1"
    mount --bind "$2" /tmp
    mount -t tmpfs tmpfs /dev/shm
    echo $$ >"$3"
    exec "$4" -D -e -f "$5"' \
    host "host-$letter" "$work/$letter" "$work/$letter.pid" "$(command -v sshd)" "$work/$letter.conf" \
    2>"$work/$letter.log" &
  disown  # else bash reports how it ends
}

wait_for_ssh() {
  local letter="$1" number="$2" tries=0
  until [[ -s "$work/$letter.pid" ]] &&
    nsenter -t "$(cat "$work/$letter.pid")" -n bash -c "exec 3<>/dev/tcp/$subnet.$number/$port" 2>/dev/null; do
    tries=$((tries + 1))
    if [[ $tries -gt 100 ]]; then
      cat "$work/$letter.log" >&2
      skip "sshd did not start in a namespace"
    fi
    sleep 0.1
  done
}

start_host a 1
start_host b 2
wait_for_ssh a 1
wait_for_ssh b 2

forwarded=()
while IFS='=' read -r name _; do
  [[ "$name" == TRIREME_* || "$name" == OMP_* ]] && forwarded+=(-x "$name")
done < <(env)

ssh_options="-i $work/key -p $port -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
ssh_options+=" -o BatchMode=yes -o ConnectTimeout=10"
first_pid="$(cat "$work/a.pid")"
command=(mpirun --allow-run-as-root -n 2 --host "$subnet.1:1,$subnet.2:1" --map-by node --bind-to none --wdir "$PWD"
  --mca plm_rsh_agent ssh --mca plm_rsh_args "$ssh_options" --mca btl_tcp_if_include "$subnet.0/24"
  --mca oob_tcp_if_include "$subnet.0/24" "${forwarded[@]}" "$@")
status=0
taskset -c "0-$((half - 1))" nsenter -t "$first_pid" -n -m -u --wd="$PWD" "${command[@]}" || status=$?
exit "$status"
