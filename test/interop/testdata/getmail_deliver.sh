# Files the message on standard input in the directory $1. getmail misses the
# end of a child that ends before getmail waits for it, and then waits for a
# minute: so this one ends when its parent has gone to sleep.
cat > "$(mktemp "$1/XXXXXXXX")"
while read -r _ _ state _ < "/proc/$PPID/stat" && [ "$state" != S ]; do :; done
