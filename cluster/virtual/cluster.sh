#!/usr/bin/env bash
# cluster.sh: a cluster of N hosts on this one machine, to try and test what takes several (docs/virtual_cluster.md).
# A host is a network, mount and host-name namespace with an address, a /tmp and a /dev/shm of its own, an equal share of
# the cores and an sshd, so that `ssh host2` and mpirun across hosts work as they do elsewhere; --slurm adds munge,
# slurmctld and a slurmd per host. Besides host1 ... hostN there is `head`, where people log in and jobs are submitted.
# Everything but /tmp and /dev/shm is shared, as a cluster shares its home. Nothing is to be reached from outside, and
# all state lies under /run/trireme_cluster and /run/netns.
#
#   cluster.sh with N [--slurm] [--rate RATE] -- COMMAND   starts it, runs COMMAND on head, removes it, whatever happens
#   cluster.sh up N [--slurm] [--rate RATE]                starts it for the calls below
#   cluster.sh run HOST COMMAND      on a host
#   cluster.sh cut HOST              its cable is pulled out
#   cluster.sh slow HOST RATE        it sends at most at RATE (1gbit, 100mbit: tc's notation)
#   cluster.sh stop HOST             all its processes are killed, as when the power goes
#   cluster.sh heal HOST             undoes the three above: cable, rate, and the host's start
#   cluster.sh down                  removes it, and what killed calls of `with` left behind
#
# VIRTUAL_CLUSTER names one of several (default: "main"); COMMAND finds it set, so that `cluster.sh cut host2` works there.
# Exit status: COMMAND's; 77 after "skipped: REASON" where this machine cannot play hosts; 2 for a usage mistake.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

base=/run/trireme_cluster
subnet=10.213.77
head_number=254
slots=4  # that each host claims to have towards Slurm, however many cores there are

usage() {
  echo "cluster.sh: $*; the calls stand on top of $0" >&2
  exit 2
}
skip() {
  echo "skipped: $*"
  exit 77
}

name="${VIRTUAL_CLUSTER:-main}"
[[ "$name" =~ ^[a-z0-9_]{1,40}$ ]] || usage "VIRTUAL_CLUSTER: found '$name', wanted small letters, digits, '_'"
state="$base/$name"

space_of() { echo "tri_${name}_$1"; }
pid_of() { cat "$state/$1/pid" 2>/dev/null || true; }
runs() { [[ -n "$(pid_of "$1")" && "$(ip netns identify "$(pid_of "$1")" 2>/dev/null)" == "$(space_of "$1")" ]]; }
number_of() { if [[ "$1" == head ]]; then echo "$head_number"; else echo "${1#host}"; fi; }
hosts() { seq -f 'host%g' 1 "$(cat "$state/count")"; }

known() {
  [[ -s "$state/count" ]] || usage "no cluster '$name' is up; start one with: $0 up 2"
  [[ "$1" == head ]] || hosts | grep -qxF -- "$1" || usage "found host '$1', wanted head or one of: $(hosts | tr '\n' ' ')"
}

check_machine() {
  [[ $EUID -eq 0 ]] || skip "playing hosts takes root"
  local tool tools=(ip tc sshd ssh ssh-keygen nsenter unshare taskset setsid)
  [[ $slurm == no ]] || tools+=(munged slurmctld slurmd sbatch sinfo)
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null ||
      skip "no $tool (Debian: apt-get install iproute2 openssh-server slurm-wlm munge)"
  done
  [[ -z "$(ip netns identify $$)" ]] || usage "this is a host of a virtual cluster; another one cannot start inside"
}

check_folder() {
  [[ "$PWD/" != /tmp/* ]] || usage "hosts have a /tmp of their own; call this from another folder than $PWD"
}

# Kills what runs in a namespace, until nothing new has come.
empty_space() {
  local pids tries
  for tries in {1..100}; do
    pids="$(ip netns pids "$1" 2>/dev/null || true)"
    [[ -n "$pids" ]] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.02
  done
  echo "cluster.sh: processes in $1 do not end after $tries kills" >&2
}

# remove NAME: a whole cluster, also a half-made one.
remove() {
  local space
  for space in /run/netns/tri_"$1"_*; do
    [[ -e "$space" ]] || continue
    empty_space "${space##*/}"
    ip netns delete "${space##*/}" || true
  done
  rm -rf "${base:?}/$1"
}

# The clusters of `with` whose shell is gone; a process that got its number since began at another time.
remove_stale() {
  local folder owner
  for folder in "$base"/with_*; do
    [[ -d "$folder" ]] || continue
    owner="$(cat "$folder/owner" 2>/dev/null || true)"
    [[ -n "$owner" && "$owner" == "$(life_of "${owner%% *}")" ]] || remove "${folder##*/}"
  done
}
life_of() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"; }

write_files() {
  local host
  ssh-keygen -q -t ed25519 -N "" -f "$state/key"
  ssh-keygen -q -t ed25519 -N "" -f "$state/host_key"
  {
    echo "127.0.0.1 localhost"
    echo "$subnet.$head_number head"
    for host in $(hosts); do echo "$subnet.$(number_of "$host") $host"; done
  } >"$state/hosts"
  cat >"$state/ssh_config" <<END
Host *
  IdentityFile $state/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  BatchMode yes
END
  cat >"$state/sshd_config" <<END
HostKey $state/host_key
AuthorizedKeysFile $state/key.pub
PidFile none
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PrintMotd no
MaxStartups 100
END
}

# Memory is given to Slurm with room to spare; accounting and cgroups are left out.
write_slurm_conf() {
  local megabytes
  megabytes="$(awk '/MemTotal/ { print int($2 / 1024 * 0.8) }' /proc/meminfo)"
  cat >"$state/slurm.conf" <<END
ClusterName=virtual
SlurmctldHost=head
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
StateSaveLocation=$state/slurmctld
SlurmdSpoolDir=$state/%n/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/%n/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/%n/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=20
KillWait=10
NodeName=host[1-$(cat "$state/count")] CPUs=$slots RealMemory=$megabytes State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=10 PreemptMode=OFF
END
}

# The cores of a host, as taskset takes them; head has all.
cores_of() {
  local all count share first
  all="$(nproc)"
  count="$(cat "$state/count")"
  share=$((all / count > 0 ? all / count : 1))
  first=$((($(number_of "$1") - 1) * share % all))
  if [[ "$1" == head ]]; then echo "0-$((all - 1))"; else echo "$first-$((first + share - 1))"; fi
}

# plug HOST: its namespace and cable. Jumbo frames: cutting messages into packets is done here by the cores that
# compute, not by a network card.
plug() {
  local space port switch
  space="$(space_of "$1")" port="p$(number_of "$1")" switch="$(space_of switch)"
  ip netns add "$space"
  ip -n "$switch" link add "$port" type veth peer name eth0 netns "$space"
  ip -n "$switch" link set "$port" mtu 9000 master bridge up
  ip -n "$space" address add "$subnet.$(number_of "$1")/24" dev eth0
  ip -n "$space" link set lo up
  ip -n "$space" link set eth0 mtu 9000 up
  mkdir -p "$state/$1/spool"
}

# boot HOST: its sshd, whose namespaces are the host's and whose number is in the file pid.
boot() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid taskset -c "$(cores_of "$1")" nsenter --net="/run/netns/$(space_of "$1")" unshare -m -u bash -c '
    set -e
    hostname "$1"
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount --bind "$2/hosts" /etc/hosts
    mount --bind "$2/ssh_config" /etc/ssh/ssh_config
    echo $$ >"$2/$1/pid.new"
    mv "$2/$1/pid.new" "$2/$1/pid"
    exec "$3" -D -e -f "$2/sshd_config"' \
    host "$1" "$state" "$(command -v sshd)" </dev/null >"$state/$1/sshd.log" 2>&1 &
  disown  # else bash reports how it ends
  local tries
  for tries in {1..100}; do
    runs "$1" && answers "$1" && break
    sleep 0.1
  done
  answers "$1" || fail_start "$1/sshd.log" "sshd of $1 does not answer after $tries tries"
  if [[ -e "$state/slurm.conf" && "$1" != head ]]; then daemon "$1" slurmd -N "$1" -D; fi
}
answers() { inside "$1" timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/22" 2>/dev/null; }

fail_start() {
  tail -n 20 "$state/$1" >&2 || true
  echo "cluster.sh: $2" >&2
  exit 1
}

# inside HOST COMMAND: in its namespaces, on its cores.
inside() {
  local host="$1" words=()
  shift
  [[ ! -e "$state/slurm.conf" ]] || words+=(SLURM_CONF="$state/slurm.conf")
  taskset -c "$(cores_of "$host")" nsenter -t "$(pid_of "$host")" -n -m -u --wd="$PWD" \
    env VIRTUAL_CLUSTER="$name" "${words[@]}" "$@"
}
daemon() {
  local host="$1"
  shift
  (cd / && inside "$host" setsid "$@" </dev/null >"$state/$host/$1.out" 2>&1 &)
}

start_slurm() {
  local tries
  mkdir -p "$state/munge" "$state/slurmctld"
  head -c 1024 /dev/urandom >"$state/munge/key"
  chmod 400 "$state/munge/key"
  write_slurm_conf
  daemon head munged --foreground --socket="$state/munge/socket" --key-file="$state/munge/key" \
    --pid-file="$state/munge/pid" --log-file="$state/munge/log" --seed-file="$state/munge/seed" --num-threads=2
  for tries in {1..50}; do
    [[ -S "$state/munge/socket" ]] && break
    sleep 0.1
  done
  [[ -S "$state/munge/socket" ]] || fail_start head/munged.out "munged did not start after $tries tries"
  daemon head slurmctld -D
}

wait_for_slurm() {
  local tries idle count
  count="$(cat "$state/count")"
  for tries in {1..150}; do
    idle="$(inside head timeout 5 sinfo -h -N -p normal -o %T 2>/dev/null | grep -cx idle || true)"
    [[ "$idle" != "$count" ]] || return 0
    sleep 0.2
  done
  fail_start slurmctld.log "Slurm has $idle of $count hosts after $tries looks"
}

start() {
  local host
  # It appears with its owner in it: what has none, or a dead one, is taken for left behind.
  mkdir -p "$base/.$$"
  life_of $$ >"$base/.$$/owner"
  echo "$count" >"$base/.$$/count"
  mv -T -n "$base/.$$" "$state"
  [[ ! -e "$base/.$$" ]] || { rm -rf "$base/.$$"; usage "a cluster '$name' is up already; remove it with: $0 down"; }
  ip netns add "$(space_of switch)" 2>/dev/null || skip "network namespaces are refused here"
  ip -n "$(space_of switch)" link add bridge type bridge 2>/dev/null || skip "the kernel has no bridge"
  ip -n "$(space_of switch)" link set bridge up
  mkdir -p /run/sshd
  write_files
  # All namespaces come first: a host sees those that were there when it started, and may be the one to pull a cable.
  for host in head $(hosts); do plug "$host"; done
  boot head
  [[ $slurm == no ]] || start_slurm
  for host in $(hosts); do
    [[ -z "$rate" ]] || slow "$host" "$rate"
    boot "$host"
  done
  [[ $slurm == no ]] || wait_for_slurm
}

# A small burst: the tokens saved up while the link idles must not carry a message by themselves.
slow() {
  nsenter --net="/run/netns/$(space_of "$1")" tc qdisc replace dev eth0 root tbf rate "$2" burst 64kb latency 50ms ||
    usage "slow: found rate '$2', wanted one like 1gbit or 100mbit"
}
cable() { ip -n "$(space_of switch)" link set "p$(number_of "$1")" "$2"; }

heal() {
  cable "$1" up
  nsenter --net="/run/netns/$(space_of "$1")" tc qdisc delete dev eth0 root 2>/dev/null || true
  runs "$1" || boot "$1"
}

# Options of `up` and `with`: sets count, slurm, rate and the rest of the words.
read_start() {
  slurm=no rate="" rest=()
  [[ "${1:-}" =~ ^[1-9][0-9]?$ ]] || usage "found '${1:-}', wanted a number of hosts from 1 to 99"
  count="$1"
  shift
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --slurm) slurm=yes; shift ;;
      --rate) rate="${2:-}"; [[ -n "$rate" ]] || usage "--rate wants a value such as 1gbit"; shift 2 ;;
      --) shift; rest=("$@"); return ;;
      *) usage "unknown word '$1'" ;;
    esac
  done
}

command_with() {
  local status=0
  read_start "$@"
  [[ ${#rest[@]} -gt 0 ]] || usage "with: no command behind --"
  check_folder
  check_machine
  remove_stale
  name="with_$$" state="$base/with_$$"
  trap 'trap "" INT TERM HUP; remove "$name"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  start
  # In the background: a shell that waits for a command in front answers signals only after it.
  inside head "${rest[@]}" <&0 &
  wait $! || status=$?
  exit "$status"
}

[[ $# -gt 0 ]] || usage "no call was named"
verb="$1"
shift
case "$verb" in
  with) command_with "$@" ;;
  up)
    read_start "$@"
    [[ ${#rest[@]} -eq 0 ]] || usage "up runs no command; wanted: with $count -- COMMAND"
    check_machine
    # What is left of a start that failed goes at once.
    trap 'remove "$name"' EXIT
    [[ ! -e "$state" ]] || { trap - EXIT; usage "a cluster '$name' is up already; remove it with: $0 down"; }
    start
    trap - EXIT
    echo "up: head, $(hosts | tr '\n' ' ')"
    ;;
  run)
    [[ $# -ge 2 ]] || usage "run wants HOST COMMAND"
    known "$1"
    runs "$1" || usage "$1 is stopped; start it with: $0 heal $1"
    check_folder
    inside "$@"
    ;;
  cut | stop | heal)
    [[ $# -eq 1 ]] || usage "$verb wants HOST"
    known "$1"
    case "$verb" in
      cut) cable "$1" down ;;
      stop) empty_space "$(space_of "$1")" ;;
      heal) heal "$1" ;;
    esac
    ;;
  slow)
    [[ $# -eq 2 ]] || usage "slow wants HOST RATE"
    known "$1"
    slow "$1" "$2"
    ;;
  down)
    [[ -z "$(ip netns identify $$)" ]] || usage "this is a host of the cluster; call down from outside"
    remove "$name"
    remove_stale
    ;;
  *) usage "found '$verb', wanted with, up, run, cut, slow, stop, heal or down" ;;
esac
