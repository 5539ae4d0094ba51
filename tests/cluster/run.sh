#!/usr/bin/env bash
# A SLURM cluster of this one machine, and config.yaml on it while a job is cancelled and the node is lost.
# Every cell must end complete, and its results must be those of the same run without SLURM, bit for bit.
#
#   apt-get install slurm-wlm munge
#   pip install --constraint constraints.txt --editable '.[slurm]'
#   tests/cluster/run.sh          # as root, with `lockstep` on the PATH; nine minutes on two cores
#
# What it writes lies in one folder below $TMPDIR, which stays if something is off; only the link
# /etc/slurm/slurm.conf is elsewhere, because the jobs of Snakemake's plugin find the cluster by that name alone.

set -euo pipefail
cd "$(dirname "$0")/../.."

CONF=/etc/slurm/slurm.conf
CELLS=cells/baseline
NODE=$(hostname -s)

fail() {
    echo "tests/cluster/run.sh: $*${FOLDER:+; see $FOLDER}" >&2
    exit 1
}

# Until the command given holds; $1: seconds, $2: what is waited for.
await() {
    local seconds=$1 what=$2
    shift 2
    while ! "$@" > "$FOLDER/await.log" 2>&1; do
        ((seconds-- > 0)) || fail "$what: not in time"
        [[ -z ${RUN:-} ]] || kill -0 "$RUN" 2> /dev/null || fail "$what: the run ended before"
        sleep 1
    done
}

FOLDER=
[[ $EUID -eq 0 ]] || fail "run it as root: SLURM's daemons want it"
for command in munged slurmctld slurmd snakemake lockstep; do
    command -v "$command" > /dev/null || fail "$command is not on the PATH: the first lines of this file say what to install"
done
python -c "import snakemake_executor_plugin_slurm" || fail "pip install --constraint constraints.txt --editable '.[slurm]'"
[[ ! -e $CONF && ! -L $CONF ]] || fail "$CONF exists: this machine is part of a cluster already"

FOLDER=$(mktemp --directory --tmpdir lockstep-cluster.XXXXXX)
export TMPDIR=$FOLDER/tmp # timings wait for each other there; and it marks whatever is started here

# Jobs are cancelled first; what outlives that, and the daemons, are the processes with the mark.
stop() {
    local status=$?
    trap - EXIT INT TERM
    set +e
    [[ -z ${RUN:-} ]] || kill -KILL "$RUN"
    timeout 10 scancel --me
    sleep 2
    for process in $(grep --files-with-matches --fixed-strings "TMPDIR=$TMPDIR" /proc/[0-9]*/environ); do
        process=${process#/proc/}
        kill -KILL "${process%/environ}"
    done
    wait
    rm --force "$CONF"
    [[ $status -ne 0 ]] || rm --recursive --force "$FOLDER"
    exit "$status"
} > /dev/null 2>&1
trap stop EXIT
trap 'exit 130' INT TERM

# 1. The cluster.

chmod 755 "$FOLDER"
mkdir "$FOLDER"/{state,spool,house,tmp}
(umask 077; head --bytes 1024 /dev/urandom > "$FOLDER/munge.key")
cat > "$FOLDER/slurm.conf" << END
ClusterName=lockstep
SlurmctldHost=$NODE(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
$(slurmd -C | head --lines 1) NodeAddr=127.0.0.1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
ln --symbolic "$FOLDER/slurm.conf" "$CONF"

daemon() {
    local name=$1
    shift
    "$name" "$@" > "$FOLDER/$name.log" 2>&1 &
}
daemon munged --foreground --key-file "$FOLDER/munge.key" --socket "$FOLDER/munge.socket" \
    --pid-file "$FOLDER/munged.pid" --seed-file "$FOLDER/munge.seed"
await 10 "munged" test -S "$FOLDER/munge.socket"
daemon slurmctld -D
daemon slurmd -D
idle() { [[ $(timeout 5 sinfo --noheader --format %T) == idle ]]; }
await 60 "an idle node" idle
echo "cluster: $(slurmd -V), one node of $(timeout 5 sinfo --noheader --format '%c CPUs, %m MB')"

# 2. The run on it.  A copy of the checkout: what a killed run leaves behind goes with it.

cp --recursive Snakefile workflows profiles backends "$FOLDER/house"
for name in slurm local; do
    sed "s#: results/.*#: results/$name#; s#: reports/.*#: reports/$name#" tests/cluster/config.yaml \
        > "$FOLDER/house/$name.yaml"
done
cd "$FOLDER/house"

on_slurm=(snakemake --workflow-profile profiles/slurm --slurm-init-seconds-before-status-checks 2 --configfile slurm.yaml)
"${on_slurm[@]}" > "$FOLDER/run.log" 2>&1 &
RUN=$!

# The SLURM job that trains with a backend, while it runs.
job() {
    timeout 5 squeue --noheader --states running --format '%i %k' | awk -v name="rule_train_wildcards_baseline_$1_cpu_0" '$2 == name {print $1}'
}
checkpoints() { [[ $(find results/slurm/.work -name checkpoint.npz | wc --lines) -ge $1 ]]; }
training() { [[ -n $(job numpy) && -n $(job torch) ]] && checkpoints 2; }
await 900 "two cells in training, with checkpoints" training

cancelled=$(job numpy)
lost=$(job torch)
scancel "$cancelled"
echo "cluster: job $cancelled, NumPy's cell, is cancelled"
scontrol update "NodeName=$NODE" State=DOWN Reason=lost
echo "cluster: the node is lost, with job $lost, PyTorch's cell"
requeued() { timeout 5 scontrol show job "$lost" | grep --quiet "Restarts=1"; }
await 60 "job $lost in the queue again" requeued
back() { [[ $(timeout 5 sinfo --noheader --format %T) =~ ^(idle|mixed|allocated)$ ]] || { scontrol update "NodeName=$NODE" State=RESUME; false; }; }
await 60 "the node back" back
restarted() { grep --quiet "Trying to restart job" "$FOLDER/run.log"; }
await 240 "a second try of job $cancelled" restarted

wait "$RUN" || { RUN=; fail "the run on the cluster failed"; }
RUN=
[[ -s reports/slurm/index.html ]] || fail "the run on the cluster left no report"
"${on_slurm[@]}" > "$FOLDER/again.log" 2>&1 && grep --quiet "Nothing to be done" "$FOLDER/again.log" || fail "a second call found something to do"
for backend in numpy torch; do
    grep --quiet '"resumed_after_epoch": [0-9]' "results/slurm/$CELLS/$backend/cpu/seed-0/provenance.json" \
        || fail "$backend: the cell began anew instead of going on from its checkpoint"
done
echo "cluster: the run is complete, both cells went on from their checkpoints"

# 3. The same without SLURM.

snakemake --cores all --configfile local.yaml --until transfer > "$FOLDER/local.log" 2>&1 || fail "the local run failed"
compared=0
while read -r file; do
    # Of these files alone one line says how long it took.
    case $file in
        *.json) diff --ignore-matching-lines '^  "seconds": ' "results/local/$file" "results/slurm/$file" ;;
        *) cmp "results/local/$file" "results/slurm/$file" ;;
    esac > "$FOLDER/difference" 2>&1 || fail "$file differs from the local run's"
    ((++compared))
done < <(cd results/local && find cells attacks transfer -type f ! -name provenance.json)
((compared > 0)) || fail "there is nothing to compare"
echo "cluster: $compared files of results, equal to the local run's bit for bit"
