#!/usr/bin/env bash
# A Slurm of one node on loopback: one-node.sh FOLDER CONTROLLER_PORT NODE_PORT
# Everything of it lies in FOLDER. Says "ready" when the node takes jobs, and lasts until its stdin
# ends; then nothing of it runs any more. Who sets SLURM_CONF=FOLDER/slurm.conf uses it.
set -euo pipefail
folder=$1 controller_port=$2 node_port=$3
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$folder/slurm.conf
host=$(hostname -s)

# munged insists that nobody else could have changed what is above its files
chmod 755 "$folder"
mkdir "$folder/munge" "$folder/controller" "$folder/node"
dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chmod 400 "$folder/munge/key"
as_munge=()
if [ "$(id -u)" -eq 0 ]; then
    chown -R munge: "$folder/munge"
    as_munge=(setpriv --reuid munge --regid munge --clear-groups)
fi

cat >"$SLURM_CONF" <<CONF
ClusterName=one-node
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# more cores than the machine may have: the tests do not wait for each other's
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
# jobs that ask for it run one after another
Licenses=single:1
# a task that ignores SIGTERM is killed soon
KillWait=5
MinJobAge=2
BatchStartTimeout=60
SchedulerParameters=sched_interval=1
StateSaveLocation=$folder/controller
SlurmdSpoolDir=$folder/node
SlurmctldPidFile=$folder/controller/pid
SlurmdPidFile=$folder/node/pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 CPUs=16 State=UNKNOWN
PartitionName=main Nodes=one Default=YES MaxTime=INFINITE State=UP
CONF

# Jobs and their keepers leave the process group; what they all have is SLURM_CONF.
members() {
    grep --files-with-matches --text --null-data --line-regexp --fixed-strings \
        "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null |
        sed -n "/^.proc.$$\//d; s/^.proc.\([0-9]*\).*/\1/p"
}
finish() {
    trap '' EXIT INT TERM HUP
    # in good order first: a daemon that is killed leaves its own children to nobody
    kill -TERM "${daemons[@]}" 2>/dev/null || true
    for _ in $(seq 50); do
        [ -z "$(jobs -pr)" ] && break
        sleep 0.1
    done
    for _ in 1 2 3 4 5; do
        # those that start while we look are found the next time
        for process in $(members); do
            kill -KILL "$process" 2>/dev/null || true
        done
    done
    wait
}
daemons=()
trap 'finish 2>/dev/null' EXIT
trap exit INT TERM HUP

"${as_munge[@]}" munged --foreground --key-file "$folder/munge/key" --socket "$folder/munge/socket" \
    --pid-file "$folder/munge/pid" --log-file "$folder/munge/log" --seed-file "$folder/munge/seed" \
    </dev/null >"$folder/munged.out" 2>&1 &
daemons+=($!)
for _ in $(seq 300); do
    [ -S "$folder/munge/socket" ] && break
    sleep 0.1
done
slurmctld -D </dev/null >"$folder/slurmctld.out" 2>&1 &
daemons+=($!)
slurmd -D -N one </dev/null >"$folder/slurmd.out" 2>&1 &
daemons+=($!)
for _ in $(seq 300); do
    if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
        echo ready
        # until stdin ends
        cat >/dev/null
        exit
    fi
    sleep 0.1
done
tail --lines=5 "$folder"/*.out >&2
exit 1
