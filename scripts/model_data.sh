#!/bin/sh
# Shards that a small model is trained and judged on: model_data.sh OUT [DATA]
#   OUT   made if missing: synth/, foregrounds/KIND/, backgrounds/KIND/, evaluation/, lemur/
#   DATA  a folder with foregrounds/, backgrounds/ and list.csv (see docs/data.md); without it procedural data alone
# DRIP names the command if it is not on the path. One picture in five is held out, of the foregrounds and of the backgrounds. Interrupted, run it again.
set -eu
out=$1
data=${2:-}
drip=${DRIP:-drip}

$drip prepare triplets "$(dirname "$0")/../examples/lemur/evaluation" "$out/lemur"

if [ -z "$data" ]; then
    exec $drip synth "$out/synth" --size 384 --foregrounds 2000 --backgrounds 1000 --evaluation 48
fi

list=$data/list.csv
hold_out=5

# The kinds of a part (foregrounds, backgrounds); the list's first columns are file and kind.
kinds() {
    sed -n "s|^$1/[^,]*,\([^,]*\),.*|\1|p" "$list" | sort -u
}

for kind in $(kinds foregrounds); do
    $drip prepare rgba "$data/foregrounds" "$out/foregrounds/$kind" --list "$list" --kinds "$kind" \
        --split train --hold-out $hold_out
done
for kind in $(kinds backgrounds); do
    $drip prepare images "$data/backgrounds" "$out/backgrounds/$kind" --list "$list" --kinds "$kind" \
        --split train --hold-out $hold_out
done
$drip prepare composites "$data/foregrounds" "$data/backgrounds" "$out/evaluation" --list "$list" \
    --split held-out --hold-out $hold_out --per-kind 5 --side 512 --background-kinds photograph
$drip synth "$out/synth" --size 384 --foregrounds 2000 --backgrounds 1000 --evaluation 48
