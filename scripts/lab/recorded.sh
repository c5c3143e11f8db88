#!/bin/bash
# recorded.sh PIDFILE EXITFILE COMMAND...: runs the command, its pid in one file while it runs and its
# exit status in the other once it has ended.
pidfile=$1 exitfile=$2
shift 2
"$@" &
echo $! > "$pidfile"
wait $!
status=$?
echo "$status" > "$exitfile.tmp" && mv "$exitfile.tmp" "$exitfile"
