# SPDX-License-Identifier: Apache-2.0
#
# Completion of RN's programs in fish.  What there is to complete is asked of the program
# itself, so it is never out of date.  Installed under the name of every program, which is
# how fish finds it and how this file knows for which it is.

set -l program (string replace -r '\.fish$' '' (status basename))

for row in ($program --dump-options 2>/dev/null)
    set -l field (string split \t -- $row)
    set -l long (string replace -r '^--' '' -- $field[1])
    set -l letter (string replace -r '^-' '' -- $field[2])
    set -l how -d $field[6]
    if string match -q '*positional' -- $field[4]
        test -n "$field[7]"; and complete -c $program -n __fish_is_first_arg \
            -a (string replace -a '|' ' ' -- $field[7]) -d $field[6]
        continue
    end
    test -n "$letter"; and set -a how -s $letter
    if test -n "$field[7]"
        set -a how -x -a (string replace -a '|' ' ' -- $field[7])
    else if test -n "$field[3]"
        set -a how -r
    else if test "$field[5]" = true
        complete -c $program -l no-$long -d "not: $field[6]"
    end
    complete -c $program -l $long $how
end
