#!/bin/sh
# The container's entry: papertape, with exit codes that a restart policy understands.
#
# `restart: on-failure` starts again after any code but 0, and after 3, a broken invariant, nothing may trade on before
# somebody has looked; 1 and 2 would only come back. So these become 0, said in the log; everything else (a crash, a kill
# for memory) stays a failure and is started again. Signals are passed on: the daemon finishes its candle.

child= asked=
pass_on() { # a signal may come before the process that it is for has a number
    asked=$1
    [ -z "$child" ] || kill "-$1" "$child" 2>/dev/null
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT

papertape "$@" &
child=$!
[ -z "$asked" ] || kill "-$asked" "$child" 2>/dev/null

wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do  # a signal has cut the wait short
    wait "$child"
    code=$?
done

case $code in
1 | 2 | 3)
    echo "papertape ended with $code and is not started again: look at what it said above" >&2
    exit 0
    ;;
esac
exit "$code"
