#!/usr/bin/env bash
# A SLURM of one node on this machine, for the tests of this folder and to try docs/how-to/run-on-a-cluster.md.
#
#     eval "$(tests/cluster/start_slurm.sh FOLDER)"      start it; then srun, sbatch, squeue, scontrol work in this shell
#     tests/cluster/start_slurm.sh FOLDER stop           end it
#     tests/cluster/start_slurm.sh FOLDER stop-node      end slurmd and the steps of its jobs, as when a node dies
#     tests/cluster/start_slurm.sh FOLDER start-node     and start it again
#
# It needs root and Debian's slurm-wlm and munge. All that it writes is in FOLDER. The node says that it has CPUS cores
# (4 if unset), whatever the machine has. Containers often have no cgroups: processes are tracked in /proc instead.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
node=$(hostname -s)

stop() {  # by pid file: SIGTERM, then SIGKILL after 10 s
    local pid
    pid=$(cat "$folder/$1.pid" 2>/dev/null) || return 0
    kill "${2:--TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$folder/$1.pid"
}

steps() {  # slurmstepd processes of this slurmd, and what they have started
    local pid
    for pid in $(pgrep -x slurmstepd || true); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "SLURM_CONF=$folder/slurm.conf" && echo "$pid"
    done
    return 0
}

family() {  # a process and all its descendants
    local child
    echo "$1"
    for child in $(pgrep -P "$1" || true); do family "$child"; done
}

start_node() { SLURM_CONF="$folder/slurm.conf" slurmd -N "$node" -f "$folder/slurm.conf"; }

export SLURM_CONF="$folder/slurm.conf"
case "${2:-start}" in
stop-node)
    stop slurmd -KILL
    for step in $(steps); do
        # shellcheck disable=SC2046
        kill -KILL $(family "$step") 2>/dev/null || true
    done
    ;;
start-node) start_node ;;
stop)
    stop slurmd
    stop slurmctld
    stop munged
    ;;
start)
    mkdir -p "$folder"/{state,spool,munge}
    chmod 755 "$folder" "$folder/munge"
    dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
    chmod 400 "$folder/munge/key"
    munged --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" >&2
    port=$(python3 - <<'PORTS'
import socket
taken = [socket.create_server(("", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in taken))
PORTS
)
    cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmctldPort=${port% *}
SlurmdPort=${port#* }
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=1,sched_interval=2,requeue_setup_env_fail
SlurmdParameters=config_overrides
# nodes are found dead within seconds, jobs begin again at once
SlurmdTimeout=10
MinJobAge=600
KillWait=30
ReturnToService=2
JobRequeue=1
# time limits to the minute, without a scheduler's grace
OverTimeLimit=0
NodeName=$node NodeAddr=127.0.0.1 CPUs=${CPUS:-4} State=UNKNOWN
PartitionName=cpu Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld -f "$SLURM_CONF" >&2
    start_node >&2
    for _ in $(seq 300); do
        sinfo -h -o %T 2>/dev/null | grep -q idle && break
        sleep 0.1
    done
    sinfo -h -o %T | grep -q idle || { echo "no idle node; see $folder/slurmctld.log and slurmd.log" >&2; exit 1; }
    echo "export SLURM_CONF=$SLURM_CONF"
    ;;
*) echo "start_slurm.sh FOLDER [start|stop|stop-node|start-node]" >&2; exit 2 ;;
esac
